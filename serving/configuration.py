"""The server's own settings: environment variables with one prefix, read once at the start.

Every variable is here: its name, what it takes, what it is by default and what it does. An unknown
one is refused, since a mistyped name would leave a server more open than it is thought to be.
`python -m serving.configuration` writes the table of `docs/serving.md` anew.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from serving.errors import InvalidConfiguration
from serving.limits import Limits

PREFIX = "MLIFECYCLE_SERVING_"

# Which routes each part of PUBLIC opens.
PUBLIC = {
    "health": ("/health", "/v2/health/live"),
    "ready": ("/ready", "/v2/health/ready"),
    "metrics": ("/metrics",),
    "info": ("/model/info",),
    "docs": ("/docs", "/openapi.json"),
}
# As in serving/access/tokens.py, which imports what is not needed without tokens.
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
METHODS = ("keys", "jwt")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a variable takes: `parse` raises ValueError for what is not `expected`."""

    expected: str
    parse: Callable[[str], Any]


def _whole(low: int, high: int) -> Kind:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return Kind(f"a whole number from {low} to {high}", parse)


def _number(low: float, high: float, *, above: bool = False) -> Kind:
    def parse(text: str) -> float:
        found = float(text)
        if not math.isfinite(found) or not low <= found <= high or (above and found == low):
            raise ValueError
        return found

    return Kind(
        f"a number {'above' if above else 'from'} {low:g} {'up ' * above}to {high:g}", parse
    )


def _file(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError
    return Path(text)


def _some_text(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError
    return text


def _several(names: tuple[str, ...], *, none: str) -> Kind:
    """Names with commas between them; `none` stands for no name at all."""

    def parse(text: str) -> frozenset[str]:
        if text == none:
            return frozenset()
        found = [name.strip() for name in text.split(",")]
        if len(set(found)) != len(found) or not set(found) <= set(names):
            raise ValueError
        return frozenset(found)

    return Kind(f"{none}, or some of {', '.join(names)}, with commas between them", parse)


def _algorithms(text: str) -> tuple[str, ...]:
    found = tuple(name.strip() for name in text.split(","))
    if len(set(found)) != len(found) or not set(found) <= set(ALGORITHMS):
        raise ValueError
    return found


def _names(text: str) -> frozenset[str]:
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise ValueError
    return frozenset(found)


def _where_keys_are(text: str) -> str | Path:
    if "://" not in text:
        return _file(text)
    from serving.access.tokens import fetchable

    if not fetchable(text):
        raise ValueError
    return text


def _destination(text: str) -> str | None:
    return None if text == "off" else str(_file(text))


_TEXT = Kind("a text", _some_text)
_FILE = Kind("a file's path", _file)
_ABSENT = ""


def _variable(kind: Kind, meaning: str, default: str = _ABSENT) -> Any:
    value = kind.parse(default) if default != _ABSENT else None
    return field(default=value, metadata={"kind": kind, "meaning": meaning, "default": default})


def _limit(kind: Kind, meaning: str) -> Any:
    return {"kind": kind, "meaning": meaning}


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the variables say. Times are in seconds; None is what is not set."""

    host: str = _variable(_TEXT, "The address to listen on; `--host` comes first.", "127.0.0.1")
    port: int = _variable(
        _whole(0, 65535), "The port to listen on, 0 for any; `--port` comes first.", "8000"
    )
    workers: int = _variable(
        _whole(1, 256),
        "Processes that serve side by side, each on one thread; `--workers` comes first.",
        "1",
    )
    authentication: frozenset[str] = _variable(
        _several(METHODS, none="none"),
        "Who may ask: everybody, whoever has an API key of `KEYS_FILE`, whoever has a token of "
        "`JWT_ISSUER`.",
        "none",
    )
    public: frozenset[str] = _variable(
        _several(tuple(PUBLIC), none="none"),
        "What is shown to everybody when there is authentication.",
        "health,ready",
    )
    keys_file: Path | None = _variable(
        _FILE, "The hashes of the API keys, as `python -m serving keys` writes them."
    )
    keys_grace: float = _variable(
        _number(0, 3600),
        "How long the keys read last are good for when the file cannot be read any more.",
        "30",
    )
    jwt_issuer: str | None = _variable(_TEXT, "The `iss` of tokens.")
    jwt_audience: str | None = _variable(_TEXT, "What the `aud` of tokens must hold.")
    jwt_algorithms: tuple[str, ...] = _variable(
        Kind(f"some of {', '.join(ALGORITHMS)}, with commas between them", _algorithms),
        "How tokens may be signed.",
        "RS256",
    )
    jwt_keys: str | Path | None = _variable(
        Kind(
            "a file's path, or a URL without a password: https, or http on this machine",
            _where_keys_are,
        ),
        "The issuer's public keys, a JSON Web Key Set.",
    )
    jwt_refresh: float = _variable(
        _number(1, 86400), "How often the keys at a URL are fetched.", "300"
    )
    jwt_grace: float = _variable(
        _number(0, 86400),
        "How long the public keys read last are good for when they cannot be read any more.",
        "3600",
    )
    jwt_leeway: float = _variable(
        _number(0, 300), "How far the clocks may be apart when times in tokens are judged.", "30"
    )
    jwt_caller: str = _variable(_TEXT, "The claim that names the caller.", "sub")
    rate: float | None = _variable(
        _number(0, 1e6, above=True),
        "Requests a second that a caller may make, when its key says nothing else; without it, "
        "there is no limit.",
    )
    burst: int | None = _variable(
        _whole(1, 10**6), "Requests that it may make at once; without it, a second's worth."
    )
    audit: str | None = _variable(
        Kind("off, stdout, stderr or a file's path", _destination),
        "Where a line for each request for predictions is written.",
        "off",
    )
    audit_inputs: float = _variable(
        _number(0, 1), "The share of these requests whose inputs are written too.", "0"
    )
    audit_masked: frozenset[str] = _variable(
        Kind("names of features, with commas between them", _names),
        "Features whose values are not written.",
    )
    limits: Limits = field(default_factory=Limits)


# The bounds of serving/limits.py, which has their defaults.
LIMITS: dict[str, dict[str, Any]] = {
    "max_body": _limit(_whole(1024, 2**30), "Bytes of one request's body."),
    "max_held": _limit(_whole(1024, 2**36), "Bytes of all bodies that are on their way."),
    "max_instances": _limit(_whole(1, 10**6), "Instances of one request."),
    "max_batch": _limit(_whole(1, 65536), "Rows that one call of the model gets."),
    "max_queue": _limit(_whole(1, 10**7), "Rows that wait for the model."),
    "max_wait": _limit(_number(0.01, 600), "Seconds that a request may wait for the model."),
    "max_connections": _limit(_whole(1, 10**6), "Open connections."),
    "max_header": _limit(_whole(1024, 2**20), "Bytes of one request's head."),
    "header_seconds": _limit(_number(0.1, 600), "Seconds for a request's head to arrive."),
    "body_seconds": _limit(_number(0.1, 3600), "Seconds for its body to arrive."),
    "write_seconds": _limit(_number(0.1, 3600), "Seconds without the caller taking an answer."),
}


def variables() -> dict[str, tuple[str, Kind, str, str]]:
    """Every variable: the field it fills, what it takes, its default as text, what it does."""
    found = {}
    for each in fields(Configuration):
        if each.name != "limits":
            about = dict(each.metadata)
            found[PREFIX + each.name.upper()] = (
                each.name,
                about["kind"],
                about["default"],
                about["meaning"],
            )
    for each in fields(Limits):
        about = LIMITS[each.name]
        default = f"{each.default:.10g}"
        found[PREFIX + each.name.upper()] = (each.name, about["kind"], default, about["meaning"])
    return found


def read(environ: Mapping[str, str]) -> Configuration:
    """The configuration in `environ`. Raises InvalidConfiguration with every problem in it."""
    known = variables()
    problems: list[str] = []
    values: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        if name not in known:
            problems.append(f"{name} is not known: docs/serving.md lists what is")
            continue
        filled, kind, _, _ = known[name]
        text = environ[name]
        try:
            value = kind.parse(text)
        except (ValueError, OverflowError):
            problems.append(f"{name} is {_shown(text)}; expected {kind.expected}")
            continue
        (limits if filled in LIMITS else values)[filled] = value
    if not problems:
        problems = _contradictions(values)
    if problems:
        raise InvalidConfiguration("; ".join(problems))
    return Configuration(**values, limits=Limits(**limits))


def _shown(text: str) -> str:
    # A URL may have been given with a password in it.
    return ascii(re.sub(r"//[^/@]*@", "//***@", text[:200]))


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    """What is missing for what is wanted, and what is set and would do nothing."""
    methods = values.get("authentication", frozenset())
    found = []
    needs = {
        "keys": (("keys_file",), ("keys_grace",)),
        "jwt": (
            ("jwt_issuer", "jwt_audience", "jwt_keys"),
            ("jwt_algorithms", "jwt_refresh", "jwt_grace", "jwt_leeway", "jwt_caller"),
        ),
    }
    authentication = f"{PREFIX}AUTHENTICATION"
    for method, (required, optional) in needs.items():
        if method in methods:
            found += [
                f"{PREFIX}{name.upper()} is not set, and {authentication} has {method}"
                for name in required
                if name not in values
            ]
        else:
            found += [
                f"{PREFIX}{name.upper()} is set, and {authentication} does not have {method}"
                for name in (*required, *optional)
                if name in values
            ]
    wholes = {
        "public": (bool(methods), f"{authentication} is none"),
        "rate": (bool(methods), f"{authentication} is none"),
        "burst": ("rate" in values, f"{PREFIX}RATE is not"),
        "audit_inputs": (values.get("audit") is not None, f"{PREFIX}AUDIT is off"),
        "audit_masked": ("audit_inputs" in values, f"{PREFIX}AUDIT_INPUTS is not"),
    }
    found += [
        f"{PREFIX}{name.upper()} is set, and {why}"
        for name, (useful, why) in wholes.items()
        if name in values and not useful
    ]
    return found


def table() -> str:
    """The variables as a table in Markdown."""
    lines = ["| variable | takes | by default | what it does |", "|---|---|---|---|"]
    for name, (_, kind, default, meaning) in variables().items():
        lines.append(f"| `{name}` | {kind.expected} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


BEGIN, END = "<!-- variables -->\n", "<!-- end of variables -->\n"


def inserted(page: str) -> str:
    """`page` with the table between its marks as it is now."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    _page = Path(__file__).parents[1] / "docs" / "serving.md"
    _page.write_text(inserted(_page.read_text()))
