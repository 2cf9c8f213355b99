"""A run as a person at a terminal sees it: a line a stage while it goes on, then what to do."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from pathlib import Path
from typing import TextIO

from pipeline.errors import EnvironmentFailed, InvalidInput, MlifecycleError
from pipeline.findings import ToolStatus
from pipeline.record import Outcome, RunRecord, StageReport
from pipeline.reports import text
from pipeline.verdict import Level, Violation

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}
_MARKS = {
    Outcome.PASSED: ("✓", "+", "green"),
    Outcome.DENIED: ("✗", "x", "red"),
    Outcome.FAILED: ("!", "!", "red"),
}
WIDTH = 10  # columns, for a stage's name


def safe(string: str) -> str:
    """`string` without anything that a terminal would obey; lines and tabs stay."""
    return text.printable(string, keep="\n\t")


class Style:
    """What a stream can show: colours only on a terminal and unless NO_COLOR is set."""

    def __init__(self, stream: TextIO) -> None:
        self.tty = stream.isatty()
        self.colours = (
            self.tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )
        self.encoding = stream.encoding or "ascii"

    def paint(self, colour: str, string: str) -> str:
        """`string` in a colour, if there are any."""
        return f"\x1b[{_COLOURS[colour]}m{string}\x1b[0m" if self.colours else string

    def fit(self, string: str) -> str:
        """`string` in the characters that the stream's encoding has."""
        return string.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def mark(self, outcome: Outcome) -> str:
        """One sign for an outcome."""
        sign, plain, colour = _MARKS[outcome]
        unicode = self.encoding.lower().replace("-", "").startswith("utf")
        return self.paint(colour, sign if unicode else plain)


def stage_line(report: StageReport, style: Style) -> str:
    """One stage on one line: how it ended, what it says, how long it took."""
    took = "found by its digest, " if report.reused else ""
    took += text.duration(report.seconds)
    return (
        f"{style.mark(report.outcome)} {style.paint('bold', report.stage.ljust(WIDTH))} "
        f"{text.one_line(report.summary)} {style.paint('dim', f'({took})')}"
    )


class Live:
    """An Observer that shows a run as it goes.

    On a terminal the work under way is one line that changes; elsewhere, as in a CI log, each
    step is a line of its own.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._style = Style(stream)
        self._active: dict[str, str] = {}

    def started(self, stage: str) -> None:
        """Show that a stage begins."""
        self._active[stage] = ""
        self._status()

    def step(self, stage: str, message: str) -> None:
        """Show what a stage does."""
        line = text.one_line(message)
        self._active[stage] = line
        if self._style.tty:
            self._status()
        else:
            self._write(f"  {stage.ljust(WIDTH)} {line}\n")

    def finished(self, report: StageReport) -> None:
        """Show how a stage ended."""
        self._active.pop(report.stage, None)
        self._clear()
        self._write(stage_line(report, self._style) + "\n")
        self._status()

    def _status(self) -> None:
        if not self._style.tty or not self._active:
            return
        parts = [f"{stage} {message}".strip() for stage, message in self._active.items()]
        columns = shutil.get_terminal_size().columns
        line = f"  {' | '.join(parts)} …"[: columns - 1]
        self._clear()
        self._write(self._style.paint("dim", line))

    def _clear(self) -> None:
        if self._style.tty:
            self._write("\r\x1b[K")

    def _write(self, string: str) -> None:
        self._stream.write(self._style.fit(string))
        self._stream.flush()


def summary(record: RunRecord, run_folder: Path, stream: TextIO) -> str:
    """What came of a run: its verdict, what to do about a no, and where the evidence lies."""
    style = Style(stream)
    blocks = [*_blocks(record, style), f"{_verdict(record, style)}\n{_evidence(run_folder)}"]
    return style.fit("\n" + "\n\n".join(block for block in blocks if block) + "\n")


def plain(record: RunRecord) -> str:
    """The same without colours, for a message: the stages first, and no place on a disk."""
    style = Style(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    stages = "\n".join(stage_line(report, style) for report in record.stages)
    blocks = [stages, *_blocks(record, style), _verdict(record, style)]
    return "\n\n".join(block for block in blocks if block)


def _blocks(record: RunRecord, style: Style) -> list[str]:
    return [_violations(record, style), _not_run(record, style), _served(record)]


def _verdict(record: RunRecord, style: Style) -> str:
    what = " ".join(part for part in (record.model, record.version) if part) or record.manifest
    took = ""
    if record.finished is not None:
        seconds = (record.finished - record.started).total_seconds()
        took = style.paint("dim", f" ({text.duration(max(seconds, 0))})")
    subject = f"{text.one_line(what)} in {record.environment}"
    if record.outcome is Outcome.PASSED:
        return f"{style.mark(Outcome.PASSED)} {record.command}: yes, {subject}{took}"
    if record.outcome is Outcome.DENIED:
        denied = [stage.stage for stage in record.stages if stage.outcome is Outcome.DENIED]
        where = f", denied by {' and '.join(denied)}" if denied else ""
        return f"{style.mark(Outcome.DENIED)} {record.command}: no, {subject}{where}{took}"
    reason = f": {text.one_line(record.error, 1000)}" if record.error else ""
    return f"{style.mark(Outcome.FAILED)} {record.command}: failed, {subject}{took}{reason}"


def _violations(record: RunRecord, style: Style) -> str:
    ordered = sorted(record.violations, key=lambda v: v.level is Level.DENY)
    return "\n".join(_violation(violation, style) for violation in ordered)


def _violation(violation: Violation, style: Style) -> str:
    colour = "red" if violation.level is Level.DENY else "yellow"
    return "\n".join(
        (
            f"{style.paint(colour, f'{violation.level} {violation.id}')} "
            f"{text.one_line(violation.title)}",
            f"    where     {text.one_line(violation.path)}",
            f"    found     {text.value(violation.actual)}",
            f"    expected  {text.one_line(violation.expected)}",
            f"    do        {text.one_line(violation.remedy, 1000)}",
        )
    )


def _not_run(record: RunRecord, style: Style) -> str:
    judged = {violation.path.rpartition(".")[2] for violation in record.violations}
    return "\n".join(
        f"{style.paint('yellow', 'not run')} {tool.tool}: {text.one_line(tool.reason, 300)}"
        for stage in record.stages
        for tool in stage.tools
        if tool.status is ToolStatus.NOT_RUN and tool.tool not in judged
    )


def _served(record: RunRecord) -> str:
    """Where the deployed model answers: what stages put out as `url`, `try` and `answer`."""
    found = {name: value for stage in record.stages for name, value in stage.outputs.items()}
    labels = {
        "url": "serving at",
        "try": "try",
        "answer": "it answers",
        "image": "image",
        "reference": "published",
    }
    return "\n".join(
        f"{label.ljust(12)}{safe(found[name])}" for name, label in labels.items() if name in found
    )


def _evidence(run_folder: Path) -> str:
    place = run_folder / "summary.md"
    with contextlib.suppress(ValueError):
        place = place.relative_to(Path.cwd())
    return f"evidence    {safe(str(place))}"


def error(problem: MlifecycleError, stream: TextIO) -> str:
    """An error in words: every problem with what to do, never a traceback."""
    style = Style(stream)
    sign = style.paint("red", "error")
    if isinstance(problem, InvalidInput):
        lines = [f"{sign} {text.printable(str(each))}" for each in problem.problems]
    elif isinstance(problem, EnvironmentFailed):
        lines = [f"{sign} {safe(problem.message)}"]
        if problem.remedy:
            lines.append(f"      {safe(problem.remedy)}")
    else:
        lines = [f"{sign} {safe(str(problem))}"]
    return style.fit("\n".join(lines) + "\n")
