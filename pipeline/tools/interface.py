"""The shape of a scanner's file: what it is, what it reads, how it is called, how it is read.

To add a scanner, write `tools/NAME.py` with one `SCANNER`, its test on recorded reports, its line
in `tools/registry.py`, and name it in the environments' policy data. Both of its functions are
pure: they touch neither files nor processes, so that any runtime can carry the call out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from pipeline.findings import Finding, ToolReport, ToolStatus
from pipeline.runtimes.interface import Input, Invocation, Outcome

# What a scan can look at, by the names that inputs have in the working folder. Findings name
# files the same way: `server/…` the server's sources, `submission/…` the manifest's folder,
# `image/…` what is in the image, which itself is an archive in the form of `docker save`.
SERVER = "server"
SUBMISSION = "submission"
DOCKERFILE = "Dockerfile"
LOCK = "requirements.txt"
RULES = "rules"
IMAGE = "image.tar"
IN_IMAGE = "image"
BILL = "sbom.cdx.json"


@dataclass(frozen=True, slots=True)
class ToolImage:
    """The public image that holds a tool: its reference by digest, and the program's path in it.

    `program` is absolute where the image has no search path for it.
    """

    reference: str
    program: str


@dataclass(frozen=True, slots=True)
class Scanner:
    """One scanner.

    `name` is what policies and reports call it, `command` the program, `package` the distribution
    that provides it, `reads` the inputs it wants: where there is no such thing (a host has no
    image), the scanner does not apply. A scanner without a `package` is a program of its own: a
    host that lacks it goes without, unless the environment's policy demands it.

    `network` marks a scanner that asks a service, `database` the inputs that are its vulnerability
    database, which it runs without at the price of `not run`: the answer of either holds for a
    day, not for ever. `report` is the output file that holds its own report; empty, it is on
    stdout. `parse` takes the call's outcome and the tool's version and never raises: what it
    cannot read is a report `not run` that says why.
    """

    name: str
    command: str
    package: str | None
    purpose: str
    reads: tuple[str, ...]
    invocation: Callable[[Mapping[str, Input]], Invocation]
    parse: Callable[[Outcome, str], ToolReport]
    network: bool = False
    report: str = ""
    database: tuple[str, ...] = ()


class NoResult(Exception):
    """The tool ended, but its report is no result; the message says why."""


def not_run(tool: str, version: str, reason: str, seconds: float = 0.0) -> ToolReport:
    """The report of a tool that gave no result."""
    return ToolReport(
        tool=tool, version=version, status=ToolStatus.NOT_RUN, reason=reason, seconds=seconds
    )


def report_of(
    tool: str,
    version: str,
    outcome: Outcome,
    read: Callable[[Outcome], tuple[int, tuple[Finding, ...]]],
    exit_codes: tuple[int, ...] = (0,),
) -> ToolReport:
    """Turn an outcome into a report by `read`, which gives what was audited and what was found.

    The tool has run only if it ended by itself with one of `exit_codes`, its report could be
    read, and it audited something. `read` raises NoResult, or pydantic's ValidationError.
    """

    def no(reason: str) -> ToolReport:
        return not_run(tool, version, reason, outcome.seconds)

    if outcome.timed_out:
        return no("it was ended at its time limit")
    if outcome.exit_code not in exit_codes:
        return no(failure(outcome))
    try:
        audited, findings = read(outcome)
    except NoResult as problem:
        return no(str(problem))
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return no(f"its report cannot be read: {first['msg']}" + (f" at {place}" if place else ""))
    if audited == 0:
        return no("it found nothing to look at")
    return ToolReport(
        tool=tool,
        version=version,
        status=ToolStatus.RAN,
        audited=audited,
        findings=findings,
        seconds=outcome.seconds,
    )


# How Python's HTTP libraries and the resolver say that a service is out of reach.
_OUT_OF_REACH = ("ConnectError", "ConnectionError", "ConnectTimeout", "Name or service not known")


def failure(outcome: Outcome) -> str:
    """Why a tool gave no report, in its own words."""
    words = _last_words(outcome)
    if any(sign in words for sign in _OUT_OF_REACH):
        return f"its service is out of reach ({words})"
    return f"it failed with exit code {outcome.exit_code}" + (f": {words}" if words else "")


# How Go's loggers, and Go itself, mark what ended the program, among lines of what went well; and
# their colours.
_FATAL = re.compile(r"^(?:.*?\b(?:ERROR|FATAL|FTL)\b[\]:\s]*|(?=panic: ))")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def _last_words(outcome: Outcome) -> str:
    """A failed tool's last line that it marks as an error, or its first that is no warning.

    Of a traceback, the last line.
    """
    for text in (outcome.stderr, outcome.stdout):
        lines = [line.strip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]
        marked = [_FATAL.sub("", line) for line in lines if _FATAL.match(line)]
        errors = marked or [line for line in lines if "warning" not in line.lower()]
        if errors:
            last = marked or any("Traceback" in line for line in lines)
            line = errors[-1] if last else errors[0]
            return line if len(line) <= 120 else line[:119] + "…"
    return ""
