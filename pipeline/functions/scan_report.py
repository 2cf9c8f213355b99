"""What the scanners found."""

from __future__ import annotations

import dagger
from dagger import dag

from pipeline import findings
from pipeline.functions.arguments import Format, ReportFormat
from pipeline.functions.reports import rendered
from pipeline.functions.running import Ran
from pipeline.functions.sdk import field, function, object_type
from pipeline.record import RunRecord


@object_type
class Finding:
    """One defect. Several tools that saw it are its witnesses."""

    tools: list[str] = field()
    """Who saw it"""
    rule: str = field()
    severity: str = field()
    """info, low, medium, unknown, high or critical"""
    message: str = field()
    file: str = field()
    """Where, empty for a package"""
    line: int = field()
    """The line there, from 1; 0 where it is not known"""
    package: str = field()
    """The package, empty for a defect in a file"""
    installed_version: str = field()
    fixed_version: str = field()
    """The version that mends it, empty where there is none"""
    url: str = field()

    @classmethod
    def of(cls, found: findings.Finding) -> Finding:
        """The engine's form of a finding."""
        return cls(
            tools=list(found.tools),
            rule=found.rule,
            severity=found.severity.value,
            message=found.message,
            file=found.location.file if found.location else "",
            line=(found.location.line or 0) if found.location else 0,
            package=found.package or "",
            installed_version=found.installed_version or "",
            fixed_version=found.fixed_version or "",
            url=found.url or "",
        )


@object_type
class ScanReport:
    """What came of a scan. Findings do not fail the call: ask `passed`."""

    passed: bool = field()
    """Whether the required scanners ran and nothing that blocks was found"""
    findings: list[Finding] = field()
    """Every defect once, worst first"""
    reports: dagger.Directory = field()
    """Every tool's own report and log"""
    text: str
    record: str

    @classmethod
    async def of(cls, ran: Ran) -> ScanReport:
        """What a run that scanned came to."""
        record = ran.result.record
        return cls(
            passed=ran.passed,
            findings=[Finding.of(finding) for finding in ran.findings()],
            reports=(await ran.evidence()).directory("reports"),
            text=ran.summary(),
            record=record.model_dump_json(),
        )

    @function()
    def summary(self) -> str:
        """All of it on one screen, with the command that does it again."""
        return self.text

    @function()
    def report(self, format: Format = ReportFormat.SARIF) -> dagger.File:  # noqa: A002
        """The findings and the verdict as a file."""
        name, content = rendered(RunRecord.model_validate_json(self.record), format)
        return dag.directory().with_new_file(name, content).file(name)
