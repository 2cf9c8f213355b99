"""dockle: how an image is made: its user, its health check, setuid programs, left-over files."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel, Field

from pipeline.findings import Finding, Location, Severity, ToolReport
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools.interface import IMAGE, IN_IMAGE, NoResult, Scanner, ToolImage, report_of

NAME = "dockle"
PIN = ToolImage(
    "goodwithtech/dockle:v0.4.15"
    "@sha256:eade932f793742de0aa8755406c7677cd7696f8675b6180926f7eeffa7abe6b9",
    "/usr/local/bin/dockle",
)
SEVERITIES = {"FATAL": Severity.HIGH, "WARN": Severity.MEDIUM, "INFO": Severity.LOW}
SKIPPED = "SKIP"
CREDENTIALS = "CIS-DI-0010"
TIMEOUT = 900  # seconds; a layer with torch takes a while to unpack
# It asks for a variable of whoever pulls, which no image can hold.
IGNORED = ("CIS-DI-0005",)
# It takes files for secrets by their name. The server has one of this name, which the scanners
# that go by content read.
ACCEPTED = ("settings.py",)

# Which file in the image an alert is about.
PLACE = re.compile(
    r"^(?:set[ug]id file: \S+ |unnecessary file : |Suspicious directory : "
    r"|Suspicious file(?:name| extension) found : )(\S+)"
)
# How to silence it; and, after a variable's name, the command that set it, with its other values.
ASIDE = re.compile(r" (?:on .*)?\(You can suppress it with .*\)$", re.DOTALL)


class _Summary(BaseModel):
    fatal: int
    warn: int
    info: int
    skip: int
    passed: int = Field(alias="pass")


class _Checkpoint(BaseModel):
    code: str
    title: str
    level: str
    alerts: list[str]


class _Report(BaseModel):
    summary: _Summary
    details: list[_Checkpoint]


def invocation(inputs: Mapping[str, Input]) -> Invocation:
    """Check the archive. Its `.dockleignore` would lie in the working folder, where none is."""
    return Invocation(
        tool=NAME,
        command="dockle",
        arguments=(
            *("--input", IMAGE, "--format", "json", "--exit-code", "0"),
            *(part for code in IGNORED for part in ("--ignore", code)),
            *(part for name in ACCEPTED for part in ("--accept-file", name)),
            *("--cache-dir", "dockle", "--timeout", f"{TIMEOUT}s"),
        ),
        inputs=inputs,
        timeout=TIMEOUT + 10,
    )


def parse(outcome: Outcome, version: str) -> ToolReport:
    """Read `--format json`. What it audits are checkpoints; a skipped one is none."""
    return report_of(NAME, version, outcome, _read)


def _read(outcome: Outcome) -> tuple[int, tuple[Finding, ...]]:
    report = _Report.model_validate_json(outcome.stdout)
    # A group of checks that failed is logged, and counted as passed.
    if "ERROR" in outcome.stderr:
        raise NoResult(f"some of its checks failed: {outcome.stderr.strip()[:200]}")
    counts = report.summary
    return counts.fatal + counts.warn + counts.info + counts.passed, tuple(
        _finding(checkpoint, alert)
        for checkpoint in report.details
        if checkpoint.level != SKIPPED
        for alert in checkpoint.alerts
    )


def _finding(checkpoint: _Checkpoint, alert: str) -> Finding:
    place = PLACE.match(alert)
    return Finding(
        tools=(NAME,),
        rule=checkpoint.code,
        severity=SEVERITIES.get(checkpoint.level, Severity.UNKNOWN),
        message=f"{checkpoint.title}: {ASIDE.sub('', alert).strip()}",
        location=Location(file=f"{IN_IMAGE}/{place.group(1)}" if place else IN_IMAGE),
        url=f"https://github.com/goodwithtech/dockle/blob/master/CHECKPOINT.md#{checkpoint.code.lower()}",
        aliases=("CWE-798",) if checkpoint.code == CREDENTIALS else (),
    )


SCANNER = Scanner(
    name=NAME,
    command="dockle",
    package=None,
    purpose="finds defects in how the image is made",
    reads=(IMAGE,),
    invocation=invocation,
    parse=parse,
)
