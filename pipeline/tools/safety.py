"""safety: known vulnerabilities of the locked packages, as the Safety database knows them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from pipeline.findings import Finding, Severity, ToolReport
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools.interface import LOCK, NoResult, Scanner, report_of

NAME = "safety"
PACKAGE = "safety"
REPORT = "safety.json"


class _Meta(BaseModel):
    packages_found: int
    vulnerabilities_found: int


class _Package(BaseModel):
    name: str
    version: str | None


class _Vulnerability(BaseModel):
    vulnerability_id: str
    package_name: str
    analyzed_version: str | None
    advisory: str
    fixed_versions: list[str]
    CVE: str | None = None
    more_info_url: str | None = None


class _Report(BaseModel):
    report_meta: _Meta
    scanned_packages: dict[str, _Package]
    vulnerabilities: list[_Vulnerability]
    ignored_vulnerabilities: list[_Vulnerability]


def invocation(inputs: Mapping[str, Input]) -> Invocation:
    """Check the lock against the database.

    `check` rather than `scan`, which wants an account. The report goes to a file: on stdout it
    stands between notices.
    """
    return Invocation(
        tool=NAME,
        command="safety",
        arguments=(
            *("--disable-optional-telemetry", "check", "--file", LOCK),
            *("--output", "json", "--save-json", REPORT, "--continue-on-error"),
        ),
        inputs=inputs,
        outputs=(REPORT,),
        network=True,
        timeout=180,
    )


def parse(outcome: Outcome, version: str) -> ToolReport:
    """Read the JSON report, version 1.1. Offline, safety 3 crashes: that is `not run`."""
    return report_of(NAME, version, outcome, _read)


def _read(outcome: Outcome) -> tuple[int, tuple[Finding, ...]]:
    if REPORT not in outcome.files:
        raise NoResult("it wrote no report")
    report = _Report.model_validate_json(outcome.files[REPORT])
    unpinned = [name for name, package in report.scanned_packages.items() if not package.version]
    if unpinned:
        raise NoResult(f"it found no version to check for {', '.join(unpinned[:5])}")
    # Nothing was asked to be ignored: what it ignored by itself is a finding all the same.
    found = report.vulnerabilities + report.ignored_vulnerabilities
    findings = tuple(
        Finding(
            tools=(NAME,),
            rule=item.CVE or f"SAFETY-{item.vulnerability_id}",
            severity=Severity.UNKNOWN,  # only the paid database has one
            message=item.advisory,
            package=item.package_name,
            installed_version=item.analyzed_version,
            fixed_version=", ".join(item.fixed_versions) or None,
            url=_url(item.more_info_url),
            aliases=(f"SAFETY-{item.vulnerability_id}",) if item.CVE else (),
        )
        for item in found
    )
    return len(report.scanned_packages), findings


def _url(address: str | None) -> str | None:
    return address if address and address.startswith("https://") else None


SCANNER = Scanner(
    name=NAME,
    command="safety",
    package=PACKAGE,
    purpose="finds known vulnerabilities of the locked packages (Safety database)",
    reads=(LOCK,),
    invocation=invocation,
    parse=parse,
    network=True,
    report=REPORT,
)
