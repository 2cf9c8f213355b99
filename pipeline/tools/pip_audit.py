"""pip-audit: known vulnerabilities of the locked packages, as the OSV service knows them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from pipeline.findings import Finding, Severity, ToolReport
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools.interface import LOCK, NoResult, Scanner, failure, report_of

NAME = "pip-audit"
PACKAGE = "pip-audit"


class _Vulnerability(BaseModel):
    id: str
    fix_versions: list[str]
    aliases: list[str] = []
    description: str = ""


class _Dependency(BaseModel):
    name: str
    version: str | None = None
    skip_reason: str | None = None
    vulns: list[_Vulnerability] | None = None


class _Report(BaseModel):
    dependencies: list[_Dependency]


def invocation(inputs: Mapping[str, Input]) -> Invocation:
    """Audit the lock as it stands, without resolving it anew.

    OSV rather than the package index: it also knows packages that came from another index, such
    as CPU builds of torch, which the index service skips.
    """
    return Invocation(
        tool=NAME,
        command="pip-audit",
        arguments=(
            *("--requirement", LOCK, "--no-deps", "--disable-pip", "--require-hashes"),
            *("--vulnerability-service", "osv", "--format", "json", "--progress-spinner", "off"),
        ),
        inputs=inputs,
        network=True,
        timeout=180,
    )


def parse(outcome: Outcome, version: str) -> ToolReport:
    """Read `--format json`. A skipped package was not audited, whatever the last line says.

    pip-audit exits 0 and says "No known vulnerabilities found" also when its service was out of
    reach and it skipped every package.
    """
    return report_of(NAME, version, outcome, _read, exit_codes=(0, 1))


def _read(outcome: Outcome) -> tuple[int, tuple[Finding, ...]]:
    # It exits 1 both for vulnerabilities and for its own crash, which writes no report.
    if outcome.exit_code == 1 and not outcome.stdout.strip():
        raise NoResult(failure(outcome))
    report = _Report.model_validate_json(outcome.stdout)
    skipped = [dependency for dependency in report.dependencies if dependency.vulns is None]
    if skipped:
        names = ", ".join(dependency.name for dependency in skipped[:5])
        more = f" and {len(skipped) - 5} more" if len(skipped) > 5 else ""
        reason = skipped[0].skip_reason or "no reason given"
        raise NoResult(
            f"it skipped {len(skipped)} of {len(report.dependencies)} packages "
            f"({names}{more}): {reason[:200]}"
        )
    findings = tuple(
        Finding(
            tools=(NAME,),
            rule=vulnerability.id,
            severity=Severity.UNKNOWN,  # pip-audit's report has none
            message=vulnerability.description or f"{dependency.name} is vulnerable",
            package=dependency.name,
            installed_version=dependency.version,
            fixed_version=", ".join(vulnerability.fix_versions) or None,
            url=f"https://osv.dev/vulnerability/{vulnerability.id}",
            aliases=tuple(sorted(vulnerability.aliases)),
        )
        for dependency in report.dependencies
        for vulnerability in dependency.vulns or ()
    )
    return len(report.dependencies), findings


SCANNER = Scanner(
    name=NAME,
    command="pip-audit",
    package=PACKAGE,
    purpose="finds known vulnerabilities of the locked packages (OSV)",
    reads=(LOCK,),
    invocation=invocation,
    parse=parse,
    network=True,
)
