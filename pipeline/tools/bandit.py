"""bandit: insecure constructs in Python sources."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, Field

from pipeline.findings import Finding, Location, Severity, ToolReport
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools.interface import SERVER, SUBMISSION, NoResult, Scanner, report_of

NAME = "bandit"
PACKAGE = "bandit"
SEVERITIES = {"HIGH": Severity.HIGH, "MEDIUM": Severity.MEDIUM, "LOW": Severity.LOW}
# The hard-coded password tests quote the password in the report. Secrets are looked for by
# detect-secrets, which does not.
QUOTING_TESTS = "B105,B106,B107"


class _Weakness(BaseModel):
    id: int | None = None


class _Issue(BaseModel):
    filename: str
    issue_severity: str
    issue_text: str
    line_number: int
    more_info: str
    test_id: str
    issue_cwe: _Weakness = Field(default_factory=_Weakness)


class _Error(BaseModel):
    filename: str
    reason: str


class _Report(BaseModel):
    errors: list[_Error]
    metrics: dict[str, dict[str, float]]
    results: list[_Issue]


def invocation(inputs: Mapping[str, Input]) -> Invocation:
    """Scan all given sources.

    `# nosec` comments and a submitted `.bandit` file (searched for unless `--ini` is given) would
    let the submitter approve; the report shows no code (`-n 0`), which may hold secrets.
    """
    return Invocation(
        tool=NAME,
        command="bandit",
        arguments=(
            *("--recursive", "--format", "json", "--quiet", "--exit-zero", "-n", "0"),
            *("--ignore-nosec", "--ini", "/dev/null", "--skip", QUOTING_TESTS),
            *(name for name in (SERVER, SUBMISSION) if name in inputs),
        ),
        inputs=inputs,
        timeout=300,
    )


def parse(outcome: Outcome, version: str) -> ToolReport:
    """Read `--format json`. A file that bandit could not read leaves the scan incomplete."""
    return report_of(NAME, version, outcome, _read)


def _read(outcome: Outcome) -> tuple[int, tuple[Finding, ...]]:
    report = _Report.model_validate_json(outcome.stdout)
    if report.errors:
        unread = "; ".join(f"{error.filename}: {error.reason}" for error in report.errors)
        raise NoResult(f"it could not read {unread}")
    return len(report.metrics.keys() - {"_totals"}), tuple(
        Finding(
            tools=(NAME,),
            rule=issue.test_id,
            severity=SEVERITIES.get(issue.issue_severity, Severity.UNKNOWN),
            message=issue.issue_text,
            location=Location(file=issue.filename.removeprefix("./"), line=issue.line_number),
            url=issue.more_info,
            aliases=() if issue.issue_cwe.id is None else (f"CWE-{issue.issue_cwe.id}",),
        )
        for issue in report.results
    )


SCANNER = Scanner(
    name=NAME,
    command="bandit",
    package=PACKAGE,
    purpose="finds insecure constructs in Python sources",
    reads=(SERVER, SUBMISSION),
    invocation=invocation,
    parse=parse,
)
