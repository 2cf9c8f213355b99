"""semgrep: insecure patterns in Python sources, by this project's own rules and no others."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field

from pipeline.findings import Finding, Location, Severity, ToolReport
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools.interface import (
    RULES,
    SERVER,
    SUBMISSION,
    NoResult,
    Scanner,
    ToolImage,
    failure,
    report_of,
)

NAME = "semgrep"
PACKAGE = "semgrep"
PIN = ToolImage(
    "semgrep/semgrep:1.180.0"
    "@sha256:529ee8a277ec8adc5b534d7c74eea0a47e9de21d62852b6ba7ac6ba9566845c3",
    "semgrep",
)
SEVERITIES = {
    "CRITICAL": Severity.CRITICAL,
    "ERROR": Severity.HIGH,
    "HIGH": Severity.HIGH,
    "WARNING": Severity.MEDIUM,
    "MEDIUM": Severity.MEDIUM,
    "INFO": Severity.LOW,
    "LOW": Severity.LOW,
}

# semgrep still writes its report then, and names the errors in it (fatal, invalid rules, …).
EXIT_CODES_WITH_ERRORS = (2, 3, 4, 5, 7)


class _Position(BaseModel):
    line: int


class _Metadata(BaseModel):
    cwe: str = ""
    fix: str = ""


class _Extra(BaseModel):
    message: str
    severity: str
    metadata: _Metadata = Field(default_factory=_Metadata)


class _Result(BaseModel):
    check_id: str
    path: str
    start: _Position
    extra: _Extra


class _Error(BaseModel):
    message: str = ""
    long_msg: str = ""


class _Paths(BaseModel):
    scanned: list[str]


class _Report(BaseModel):
    results: list[_Result]
    errors: list[_Error]
    paths: _Paths


def invocation(inputs: Mapping[str, Input]) -> Invocation:
    """Scan all given sources without any network.

    semgrep would let the submitter hide files (`.gitignore`, `.semgrepignore`, its own list that
    leaves out `tests/`, a size limit) and silence lines (`# nosem`): none of it counts here. The
    variable keeps `--version` and crashes from asking semgrep's server.
    """
    return Invocation(
        tool=NAME,
        command="semgrep",
        arguments=(
            *("scan", "--json", "--quiet", "--metrics", "off", "--disable-version-check"),
            *("--config", RULES, "--disable-nosem", "--no-git-ignore"),
            *("--x-ignore-semgrepignore-files", "--max-target-bytes", "0"),
            *(name for name in (SERVER, SUBMISSION) if name in inputs),
        ),
        inputs=inputs,
        environment={"SEMGREP_ENABLE_VERSION_CHECK": "0", "SEMGREP_SEND_METRICS": "off"},
        timeout=300,
    )


def parse(outcome: Outcome, version: str) -> ToolReport:
    """Read `--json`. A rule or a file that semgrep could not read leaves the scan incomplete."""
    return report_of(NAME, version, outcome, _read, exit_codes=(0, *EXIT_CODES_WITH_ERRORS))


def _read(outcome: Outcome) -> tuple[int, tuple[Finding, ...]]:
    report = _Report.model_validate_json(outcome.stdout)
    if report.errors:
        problems = "; ".join(error.message or error.long_msg for error in report.errors)
        raise NoResult(f"it could not read everything: {' '.join(problems.split())[:300]}")
    if outcome.exit_code != 0:
        raise NoResult(failure(outcome))
    return len(report.paths.scanned), tuple(
        Finding(
            tools=(NAME,),
            # semgrep prefixes a rule's id with the folders that its file lies in
            rule=result.check_id.rpartition(".")[2],
            severity=SEVERITIES.get(result.extra.severity, Severity.UNKNOWN),
            message=_message(result.extra),
            location=Location(file=result.path, line=result.start.line),
            aliases=(result.extra.metadata.cwe,) if result.extra.metadata.cwe else (),
        )
        for result in report.results
    )


def _message(extra: _Extra) -> str:
    hint = extra.metadata.fix
    return f"{extra.message} Instead: {hint}" if hint else extra.message


SCANNER = Scanner(
    name=NAME,
    command="semgrep",
    package=PACKAGE,
    purpose="finds insecure patterns by the rules in policies/semgrep",
    reads=(RULES, SERVER, SUBMISSION),
    invocation=invocation,
    parse=parse,
)
