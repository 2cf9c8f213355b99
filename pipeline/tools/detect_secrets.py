"""detect-secrets: keys, tokens and passwords in any text file."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from pipeline.findings import Finding, Location, Severity, ToolReport
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools.interface import DOCKERFILE, SERVER, SUBMISSION, Scanner, report_of

NAME = "detect-secrets"
PACKAGE = "detect-secrets"
# Detectors that go by a variable's name or a string's disorder guess; the others know a format.
GUESSES = {
    "Secret Keyword": Severity.MEDIUM,
    "Base64 High Entropy String": Severity.MEDIUM,
    "Hex High Entropy String": Severity.MEDIUM,
    "Public IP (ipv4)": Severity.LOW,
}
# Filters by which a comment or a file's name would hide a secret.
HIDING_FILTERS = (
    "detect_secrets.filters.allowlist.is_line_allowlisted",
    "detect_secrets.filters.heuristic.is_swagger_file",
    "detect_secrets.filters.heuristic.is_lock_file",
)


class _Secret(BaseModel):
    type: str
    line_number: int


class _Report(BaseModel):
    version: str
    plugins_used: list[dict[str, object]]
    results: dict[str, list[_Secret]]


def invocation(inputs: Mapping[str, Input]) -> Invocation:
    """Scan every file. `-n`: no secret is tried out against the service that it belongs to.

    `-v` makes it name each file on stderr: the report itself does not tell an empty scan from a
    clean one.
    """
    return Invocation(
        tool=NAME,
        command="detect-secrets",
        arguments=(
            *("-v", "scan", "--all-files", "-n"),
            *(part for name in HIDING_FILTERS for part in ("--disable-filter", name)),
            *(name for name in (SERVER, SUBMISSION, DOCKERFILE) if name in inputs),
        ),
        inputs=inputs,
        timeout=300,
    )


def parse(outcome: Outcome, version: str) -> ToolReport:
    """Read the baseline on stdout and the names of the files looked at on stderr."""
    return report_of(NAME, version, outcome, _read)


def _read(outcome: Outcome) -> tuple[int, tuple[Finding, ...]]:
    report = _Report.model_validate_json(outcome.stdout)
    audited = sum("Checking file:" in line for line in outcome.stderr.splitlines())
    if not report.plugins_used:
        audited = 0
    return audited, tuple(
        Finding(
            tools=(NAME,),
            rule=secret.type,
            severity=GUESSES.get(secret.type, Severity.HIGH),
            message=f"{secret.type}: a secret in plain text. Revoke it, remove it, and let the "
            "program read its successor from its surroundings.",
            location=Location(file=file, line=secret.line_number),
            aliases=("CWE-798",),
        )
        for file, secrets in sorted(report.results.items())
        for secret in secrets
    )


SCANNER = Scanner(
    name=NAME,
    command="detect-secrets",
    package=PACKAGE,
    purpose="finds keys, tokens and passwords in the sources and the manifest's folder",
    reads=(SERVER, SUBMISSION, DOCKERFILE),
    invocation=invocation,
    parse=parse,
)
