"""Text from tools, manifests and models, made harmless for where it is shown."""

from __future__ import annotations

import json
import shlex
import unicodedata

from pydantic import JsonValue

from pipeline.record import RunRecord


def printable(text: str, keep: str = "") -> str:
    r"""`text` with everything that a terminal or an editor would obey written out (`\x1b`).

    That is control and format characters, among them those that reorder a line, and lone
    surrogates; characters in `keep` are left.
    """
    return "".join(
        char
        if char in keep or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def one_line(text: str, limit: int = 200) -> str:
    """Printable, on one line, at most `limit` characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def value(actual: JsonValue) -> str:
    """A value as its JSON, or `absent`."""
    return "absent" if actual is None else one_line(json.dumps(actual, ensure_ascii=False))


def command(record: RunRecord) -> str:
    """The command that does this run again."""
    if record.again is not None:
        return record.again
    words = record.command.removeprefix("mlifecycle ").split()
    if len(words) == 1 and record.manifest:
        words += ["--manifest", record.manifest, "--environment", record.environment]
    if record.runtime == "containers":
        words += ["--runtime", "dagger"]
    if record.policies is not None:
        words += ["--policies", record.policies, "--policies-mode", record.policies_mode or ""]
    return shlex.join(["mlifecycle", *words])


def duration(seconds: float) -> str:
    """`0.04 s`, `12.3 s`, `3 min 05 s`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s"
