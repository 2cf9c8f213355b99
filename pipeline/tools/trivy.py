"""trivy: vulnerabilities, misconfiguration, secrets and licences, in an image or in sources.

Two scanners: `trivy` looks into the image, and for vulnerabilities needs its database; of sources
`trivy-files` reads what a host has too, and needs none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ValidationError

from pipeline.findings import Finding, Location, Severity, ToolReport
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools import database
from pipeline.tools.interface import (
    DOCKERFILE,
    IMAGE,
    IN_IMAGE,
    SERVER,
    SUBMISSION,
    NoResult,
    Scanner,
    ToolImage,
    failure,
    report_of,
)

NAME = "trivy"
FILES_NAME = "trivy-files"
PIN = ToolImage(
    "aquasec/trivy:0.75.0@sha256:af6acf9a6b85dfe389a1941505c0ce9efef52a4719635e1a962f022a3d855daa",
    "/usr/local/bin/trivy",
)
# The folder that holds the database, and the two files of it. They are inputs one by one: the
# small one is handed back, so that what is judged is the date of the database that was used.
CACHE = "trivy"
DATABASE = f"{CACHE}/db/trivy.db"
METADATA = f"{CACHE}/db/metadata.json"
ABSENT = "--skip-db-update cannot be specified on the first run"

SEVERITIES = {severity.upper(): severity for severity in Severity}
# A licence is a question for a lawyer, not a way in, and trivy has no kind for many a common one
# (MIT-CMU, NVIDIA's).
LICENCES = {
    "forbidden": Severity.HIGH,
    "restricted": Severity.MEDIUM,
    "reciprocal": Severity.LOW,
    "unknown": Severity.LOW,
}
PERMITTED = {"notice", "permissive", "unencumbered"}
# The distribution's programs run beside the server and are not linked with it: GPL is no finding.
LICENCES_OF_PROGRAMS = {"forbidden": Severity.HIGH}
PROGRAMS = "OS Packages"

QUIET = (
    *("--format", "json", "--exit-code", "0", "--no-progress", "--timeout", "15m"),
    *("--offline-scan", "--skip-check-update", "--skip-version-check", "--disable-telemetry"),
    *("--cache-dir", CACHE, "--cache-backend", "memory"),
)


class _Vulnerability(BaseModel):
    VulnerabilityID: str
    PkgName: str
    InstalledVersion: str
    FixedVersion: str = ""
    Severity: str
    Title: str = ""
    Description: str = ""
    PrimaryURL: str = ""


class _Cause(BaseModel):
    StartLine: int | None = None


class _Misconfiguration(BaseModel):
    ID: str
    Title: str
    Message: str
    Resolution: str = ""
    Severity: str
    Status: str
    PrimaryURL: str = ""
    CauseMetadata: _Cause = _Cause()


class _Secret(BaseModel):
    RuleID: str
    Severity: str
    Title: str
    StartLine: int | None = None


class _Licence(BaseModel):
    Category: str
    PkgName: str
    FilePath: str = ""
    Name: str


class _Summary(BaseModel):
    Successes: int
    Failures: int


class _Result(BaseModel):
    Target: str
    Class: str
    Packages: list[dict[str, Any]] = []
    Vulnerabilities: list[_Vulnerability] = []
    MisconfSummary: _Summary | None = None
    Misconfigurations: list[_Misconfiguration] = []
    Secrets: list[_Secret] = []
    Licenses: list[_Licence] = []


class _Report(BaseModel):
    CreatedAt: AwareDatetime
    ArtifactType: str
    Results: list[_Result] = []


class _Metadata(BaseModel):
    UpdatedAt: AwareDatetime


def invocation(inputs: Mapping[str, Input]) -> Invocation:
    """Scan the archive with the database as it is given."""
    return Invocation(
        tool=NAME,
        command="trivy",
        arguments=(
            *("image", "--input", IMAGE, "--list-all-pkgs"),
            *("--scanners", "vuln,misconfig,secret,license"),
            *("--image-config-scanners", "misconfig,secret"),
            *("--skip-db-update", "--skip-java-db-update"),
            *QUIET,
        ),
        inputs=inputs,
        outputs=(METADATA,),
        dated=True,
        timeout=960,
    )


def files_invocation(inputs: Mapping[str, Input]) -> Invocation:
    """Scan all sources that are laid out.

    Comments (`trivy:ignore:…`) can silence its checks of configuration files, and no option
    forbids it: hadolint, which can be forbidden, stays the judge of the Dockerfile.
    """
    return Invocation(
        tool=FILES_NAME,
        command="trivy",
        arguments=("filesystem", ".", "--scanners", "misconfig,secret", *QUIET),
        inputs=inputs,
        timeout=960,
    )


def parse(outcome: Outcome, version: str) -> ToolReport:
    """Read `--format json`, and the database's metadata: what it audits are packages."""
    report = report_of(NAME, version, outcome, _read_image, exit_codes=(0, 1))
    return report.model_copy(update={"database": _built(outcome)})


def parse_files(outcome: Outcome, version: str) -> ToolReport:
    """Read `--format json`: what it audits, as far as it says, are configuration files."""
    return report_of(FILES_NAME, version, outcome, _read_files)


def _read_image(outcome: Outcome) -> tuple[int, tuple[Finding, ...]]:
    if ABSENT in outcome.stderr:
        raise NoResult("it has no vulnerability database")
    if outcome.exit_code:
        raise NoResult(failure(outcome))
    report = _Report.model_validate_json(outcome.stdout)
    built = _built(outcome)
    if built is None:
        raise NoResult("its vulnerability database does not say when it was built")
    database.judge(built, report.CreatedAt)
    return sum(len(result.Packages) for result in report.Results), _findings(report, NAME)


def _read_files(outcome: Outcome) -> tuple[int, tuple[Finding, ...]]:
    report = _Report.model_validate_json(outcome.stdout)
    judged = [result for result in report.Results if result.MisconfSummary is not None]
    return len(judged), _findings(report, FILES_NAME)


def _built(outcome: Outcome) -> datetime | None:
    try:
        return _Metadata.model_validate_json(outcome.files.get(METADATA, b"")).UpdatedAt
    except ValidationError:
        return None


def _findings(report: _Report, tool: str) -> tuple[Finding, ...]:
    image = report.ArtifactType == "container_image"
    return tuple(
        finding
        for result in report.Results
        for finding in (
            *(_vulnerability(item, tool) for item in result.Vulnerabilities),
            *(
                _misconfiguration(item, _place(result, image), tool)
                for item in result.Misconfigurations
                if item.Status == "FAIL"
            ),
            *(_secret(item, _place(result, image), tool) for item in result.Secrets),
            *_licences(result, tool),
        )
    )


def _place(result: _Result, image: bool) -> str:
    """The file that a result is about, named as all findings name it."""
    if not image:
        return result.Target
    # What is wrong with the image as such has the archive's name, and the distribution's.
    if result.Target.startswith(IMAGE):
        return IN_IMAGE
    return f"{IN_IMAGE}/{result.Target.lstrip('/')}"


def _vulnerability(item: _Vulnerability, tool: str) -> Finding:
    """By its one name. A vendor's advisory (DSA, RHSA) is no alias: it stands for several."""
    return Finding(
        tools=(tool,),
        rule=item.VulnerabilityID,
        severity=SEVERITIES.get(item.Severity, Severity.UNKNOWN),
        message=item.Title or item.Description or f"{item.PkgName} is vulnerable",
        package=item.PkgName,
        installed_version=item.InstalledVersion,
        fixed_version=item.FixedVersion or None,
        url=_url(item.PrimaryURL),
    )


def _misconfiguration(item: _Misconfiguration, place: str, tool: str) -> Finding:
    return Finding(
        tools=(tool,),
        rule=item.ID,
        severity=SEVERITIES.get(item.Severity, Severity.UNKNOWN),
        message=f"{item.Title}: {item.Message}"
        + (f" {item.Resolution}." if item.Resolution else ""),
        location=Location(file=place, line=item.CauseMetadata.StartLine),
        url=_url(item.PrimaryURL),
    )


def _secret(item: _Secret, place: str, tool: str) -> Finding:
    return Finding(
        tools=(tool,),
        rule=item.RuleID,
        severity=SEVERITIES.get(item.Severity, Severity.UNKNOWN),
        message=f"{item.Title}: a secret in plain text. Revoke it, remove it, and let the program "
        "read its successor from its surroundings.",
        location=Location(file=place, line=item.StartLine),
        aliases=("CWE-798",),
    )


def _licences(result: _Result, tool: str) -> Iterator[Finding]:
    judged = LICENCES_OF_PROGRAMS if result.Target == PROGRAMS else LICENCES
    for item in result.Licenses:
        if item.Category in PERMITTED or (
            item.Category in LICENCES and item.Category not in judged
        ):
            continue
        yield Finding(
            tools=(tool,),
            rule=f"licence {item.Name}",
            severity=judged.get(item.Category, Severity.UNKNOWN),
            message=f"{item.PkgName} is under {item.Name}, a licence of the kind {item.Category}",
            package=item.PkgName,
        )


def _url(address: str) -> str | None:
    return address if address.startswith("https://") else None


SCANNER = Scanner(
    name=NAME,
    command="trivy",
    package=None,
    purpose="finds vulnerable packages, misconfiguration, secrets and licences in the image",
    reads=(IMAGE,),
    invocation=invocation,
    parse=parse,
    database=(DATABASE, METADATA),
)
FILES = Scanner(
    name=FILES_NAME,
    command="trivy",
    package=None,
    purpose="finds misconfiguration and secrets in the sources and the manifest's folder",
    reads=(SERVER, SUBMISSION, DOCKERFILE),
    invocation=files_invocation,
    parse=parse_files,
)
