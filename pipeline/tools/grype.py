"""grype: known vulnerabilities of every package in the image, by Anchore's database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from pipeline.findings import Finding, Severity, ToolReport
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools import database
from pipeline.tools.interface import BILL, IMAGE, NoResult, Scanner, ToolImage, failure, report_of

NAME = "grype"
PIN = ToolImage(
    "anchore/grype:v0.120.1"
    "@sha256:e4a44ef45d285b829ce6efe2642980329661bd2d18eab5fc539138d4adaebbbe",
    "/grype",
)
# A folder as `grype db import` makes it.
DATABASE = "grype-db"
SEVERITIES = {
    "Critical": Severity.CRITICAL,
    "High": Severity.HIGH,
    "Medium": Severity.MEDIUM,
    "Low": Severity.LOW,
    "Negligible": Severity.INFO,
}
PACKAGES = re.compile(r"found \d+ vulnerability matches across (\d+) packages")
ABSENT = "database does not exist"


class _Fix(BaseModel):
    versions: list[str] | None = None


class _Vulnerability(BaseModel):
    id: str
    severity: str
    description: str = ""
    source: str = Field(alias="dataSource")
    fix: _Fix


class _Related(BaseModel):
    id: str


class _Package(BaseModel):
    name: str
    version: str


class _Match(BaseModel):
    vulnerability: _Vulnerability
    related: list[_Related] = Field(alias="relatedVulnerabilities")
    artifact: _Package


class _Status(BaseModel):
    built: AwareDatetime
    valid: bool


class _Database(BaseModel):
    status: _Status


class _Descriptor(BaseModel):
    db: _Database
    timestamp: AwareDatetime


class _Report(BaseModel):
    matches: list[_Match]
    descriptor: _Descriptor


def invocation(inputs: Mapping[str, Input]) -> Invocation:
    """Match the image, or its bill of materials where that is given, with the database as it is.

    grype's own limit to the database's age is off: one is enough, and ours is kept in the report.
    `-v` makes it say how many packages it has matched, which its report does not.
    """
    source = f"sbom:{BILL}" if BILL in inputs else f"docker-archive:{IMAGE}"
    return Invocation(
        tool=NAME,
        command="grype",
        arguments=(source, "--output", "json", "-v"),
        inputs=inputs,
        environment={
            "GRYPE_CHECK_FOR_APP_UPDATE": "false",
            "GRYPE_DB_AUTO_UPDATE": "false",
            "GRYPE_DB_CACHE_DIR": DATABASE,
            "GRYPE_DB_VALIDATE_AGE": "false",
        },
        dated=True,
        timeout=900,
    )


def parse(outcome: Outcome, version: str) -> ToolReport:
    """Read `--output json`; the packages are counted on stderr."""
    report = report_of(NAME, version, outcome, _read, exit_codes=(0, 1))
    return report.model_copy(update={"database": _built(outcome)})


def _built(outcome: Outcome) -> datetime | None:
    try:
        return _Report.model_validate_json(outcome.stdout).descriptor.db.status.built
    except ValidationError:
        return None


def _read(outcome: Outcome) -> tuple[int, tuple[Finding, ...]]:
    if ABSENT in outcome.stderr:
        raise NoResult("it has no vulnerability database")
    if outcome.exit_code:
        raise NoResult(failure(outcome))
    report = _Report.model_validate_json(outcome.stdout)
    status = report.descriptor.db.status
    if not status.valid:
        raise NoResult("it calls its vulnerability database invalid")
    database.judge(status.built, report.descriptor.timestamp)
    counted = PACKAGES.search(outcome.stderr)
    if counted is None:
        raise NoResult("it did not say how many packages it matched")
    return int(counted.group(1)), tuple(_finding(match) for match in report.matches)


def _finding(match: _Match) -> Finding:
    known, package = match.vulnerability, match.artifact
    return Finding(
        tools=(NAME,),
        rule=known.id,
        severity=SEVERITIES.get(known.severity, Severity.UNKNOWN),
        message=known.description or f"{package.name} is vulnerable",
        package=package.name,
        installed_version=package.version,
        fixed_version=", ".join(known.fix.versions or ()) or None,
        url=known.source if known.source.startswith("https://") else None,
        aliases=tuple(sorted({other.id for other in match.related} - {known.id})),
    )


SCANNER = Scanner(
    name=NAME,
    command="grype",
    package=None,
    purpose="finds known vulnerabilities of every package in the image (Anchore's database)",
    reads=(IMAGE,),
    invocation=invocation,
    parse=parse,
    database=(DATABASE,),
)
# The same by the image's bill of materials: seconds instead of minutes for an image with torch.
OF_BILL = replace(SCANNER, reads=(BILL,))
