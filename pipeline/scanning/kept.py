"""Scanners' results, kept by the digest of what they were made from.

A scanner that asks no service gives the same answer for ever; one that does, or whose database
ages, for the rest of the day (UTC). When such a service is out of reach, that too is kept for a few
minutes, and the reason says since when: trying again costs every run seconds that mostly change
nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.findings import ToolReport, ToolStatus
from pipeline.state import write_atomically
from pipeline.tools.interface import Scanner

OUT_OF_REACH = timedelta(minutes=5)


class Result(BaseModel):
    """One scanner's run: what it means, and its own words. `key` is what it was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: dict[str, str]
    at: datetime
    report: ToolReport
    raw: str
    log: str


def key_of(
    scanner: Scanner, version: str, runtime: str, inputs: dict[str, str], code: str, now: datetime
) -> dict[str, str]:
    """All that a result depends on: the tool, what it reads, how we call and read it."""
    read = (*scanner.reads, *scanner.database)
    key = {f"input {name}": inputs[name] for name in read if name in inputs}
    key |= {"tool": scanner.name, "version": version, "runtime": runtime, "code": code}
    if scanner.network or scanner.database:
        key["day"] = now.date().isoformat()
    return key


def load(path: Path, key: dict[str, str], now: datetime) -> Result | None:
    """The result kept at `path`, if it is whole, was made from `key`, and still holds."""
    try:
        result = Result.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    if result.key != key:
        return None
    if result.report.status is ToolStatus.NOT_RUN and not (
        timedelta() <= now - result.at < OUT_OF_REACH
    ):
        return None
    return result


def save(path: Path, scanner: Scanner, result: Result) -> Result:
    """Keep a result as long as it may be used again. Returns it as it will be read."""
    if result.report.status is ToolStatus.NOT_RUN:
        if not scanner.network:
            return result
        since = f"{result.report.reason} (as of {result.at.astimezone(UTC):%H:%M} UTC)"
        report = result.report.model_copy(update={"reason": since})
        result = result.model_copy(update={"report": report})
    write_atomically(path, result.model_dump_json().encode())
    return result
