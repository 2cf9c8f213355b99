"""The shape of a scanner's file: what it is, what it reads, how it is called, how it is read.

To add a scanner, write `tools/NAME.py` with one `Scanner`, its test on recorded reports, a line in
`tools/registry.py`, and name it in the environments' policy data. Both functions are pure: they
touch neither files nor processes, so that any runtime can carry the call out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.findings import Finding, ToolReport, ToolStatus
from pipeline.runtimes.interface import Invocation, Outcome

# What a scan can be asked to look at, by the names that inputs have in the working folder.
SERVER = "server"
SUBMISSION = "submission"
DOCKERFILE = "Dockerfile"
LOCK = "requirements.txt"
RULES = "rules"


@dataclass(frozen=True, slots=True)
class Scanner:
    """One scanner.

    `name` is what policies and reports call it, `command` the program, `package` the distribution
    that provides it, `reads` the inputs it wants. `network` marks a scanner that asks a service:
    its answer holds for a day, not for ever. `parse` takes the call's outcome and the tool's
    version; it never raises: what it cannot read is a report `not run` that says why.
    """

    name: str
    command: str
    package: str
    purpose: str
    reads: tuple[str, ...]
    invocation: Callable[[Mapping[str, Path]], Invocation]
    parse: Callable[[Outcome, str], ToolReport]
    network: bool = False


class Unreadable(Exception):
    """A tool's report is not what the tool documents. Its parser turns this into `not run`."""


def not_run(tool: str, version: str, reason: str, seconds: float = 0.0) -> ToolReport:
    """The report of a tool that gave no usable result."""
    return ToolReport(
        tool=tool, version=version, status=ToolStatus.NOT_RUN, reason=reason, seconds=seconds
    )


def ran(
    tool: str, version: str, audited: int, findings: tuple[Finding, ...], seconds: float
) -> ToolReport:
    """The report of a tool that ran; auditing nothing is not having run."""
    if audited == 0:
        return not_run(tool, version, "it found nothing to look at", seconds)
    return ToolReport(
        tool=tool,
        version=version,
        status=ToolStatus.RAN,
        audited=audited,
        findings=findings,
        seconds=seconds,
    )
