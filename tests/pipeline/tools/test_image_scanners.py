"""gitleaks, trivy, grype and dockle on recorded reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from planted_defects import AWS_KEY
from planted_images import PLANTED

from pipeline.findings import Finding, Severity, ToolReport, ToolStatus
from pipeline.runtimes.interface import Outcome
from pipeline.scanning.merging import merge
from pipeline.tools import detect_secrets, dockle, gitleaks, grype, trivy
from pipeline.tools.interface import BILL, IMAGE, Scanner

Recorded = Callable[[Scanner, str], ToolReport]
REPORTS = Path(__file__).parent / "reports"
images = pytest.mark.parametrize("scanner", [trivy.SCANNER, grype.SCANNER, dockle.SCANNER])
with_database = pytest.mark.parametrize("scanner", [trivy.SCANNER, grype.SCANNER])


def outcome_of(scanner: Scanner, case: str) -> Outcome:
    document = json.loads((REPORTS / scanner.name / f"{case}.json").read_text())
    files = {name: text.encode() for name, text in document["files"].items()}
    return Outcome(document["exit_code"], document["stdout"], document["stderr"], files)


def places(report: ToolReport, rule: str) -> set[str]:
    found = [finding for finding in report.findings if finding.rule == rule]
    return {str(finding.location and finding.location.file) for finding in found}


def vulnerabilities(report: ToolReport) -> dict[str, Finding]:
    found = [finding for finding in report.findings if not finding.rule.startswith("licence ")]
    return {finding.package: finding for finding in found if finding.package is not None}


def test_gitleaks_finds_keys_whatever_comments_and_ignore_files_say(recorded: Recorded) -> None:
    report = recorded(gitleaks.SCANNER, "bad")
    assert report.version == "8.30.1"
    assert places(report, "aws-access-token") == {
        "submission/train.py",
        "submission/tests/swagger.py",
        "submission/allowed.py",
    }
    assert {f.severity for f in report.findings if f.rule == "aws-access-token"} == {Severity.HIGH}


def test_gitleaks_names_what_it_leaves_out(recorded: Recorded) -> None:
    report = recorded(gitleaks.SCANNER, "bad")
    assert places(report, "not-scanned") == {"submission/.gitleaks.toml"}


def test_gitleaks_and_detect_secrets_are_witnesses_of_one_secret(recorded: Recorded) -> None:
    found = merge(
        recorded(gitleaks.SCANNER, "bad").findings
        + recorded(detect_secrets.SCANNER, "bad").findings
    )
    at = {str(f.location and f.location.file): f for f in found if f.severity is Severity.HIGH}
    assert at["submission/train.py"].tools == ("detect-secrets", "gitleaks")


@pytest.mark.parametrize(
    "line",
    [
        "8:08PM WRN no leaks found in partial scan",
        "8:08PM WRN skipping directory error=permission denied path=submission/x",
        "8:08PM ERR skipping symlink: could not evaluate path=server",
        "8:08PM WRN issue reading file error=oh",
    ],
)
def test_gitleaks_that_could_not_read_everything_is_not_run(line: str) -> None:
    clean = outcome_of(gitleaks.SCANNER, "clean")
    report = gitleaks.parse(replace(clean, stderr=f"{clean.stderr}\n{line}\n"), "8.30.1")
    assert report.status is ToolStatus.NOT_RUN
    assert "everything" in report.reason


def test_gitleaks_that_says_nothing_of_what_it_read_is_not_run() -> None:
    assert gitleaks.parse(Outcome(0, "[]", ""), "8.30.1").status is ToolStatus.NOT_RUN


def test_dockle_findings(recorded: Recorded) -> None:
    report = recorded(dockle.SCANNER, "bad")
    severities = {finding.rule: finding.severity for finding in report.findings}
    assert severities["CIS-DI-0001"] is Severity.MEDIUM
    assert severities["DKL-LI-0001"] is Severity.HIGH
    assert severities["CIS-DI-0006"] is Severity.LOW
    assert places(report, "CIS-DI-0008") == {"image/usr/bin/helper"}
    assert places(report, "CIS-DI-0010") == {"image", "image/app/id_rsa"}
    assert places(report, "DKL-LI-0003") == {"image/app/Dockerfile"}
    assert "suppress" not in report.model_dump_json(), "who reads a finding is to mend it"


def test_dockle_does_not_count_what_it_skipped(recorded: Recorded) -> None:
    clean, bare = recorded(dockle.SCANNER, "clean"), recorded(dockle.SCANNER, "bare")
    assert clean.audited == bare.audited + 2
    assert "DKL-LI-0001" not in {finding.rule for finding in bare.findings}


def test_dockle_with_a_check_that_failed_is_not_run() -> None:
    clean = outcome_of(dockle.SCANNER, "clean")
    failed = replace(clean, stderr="2026-11-23T19:58:41.393Z\tERROR\ttimeout: manifest assessor\n")
    report = dockle.parse(failed, "0.4.15")
    assert report.status is ToolStatus.NOT_RUN
    assert "timeout: manifest assessor" in report.reason


@pytest.mark.parametrize(
    ("scanner", "names"),
    [
        (grype.SCANNER, ("GHSA-462w-v97r-4m45", "CVE-2019-10906")),
        (trivy.SCANNER, ("CVE-2019-10906",)),
    ],
)
def test_a_vulnerable_package(scanner: Scanner, names: tuple[str, ...], recorded: Recorded) -> None:
    report = recorded(scanner, "bad")
    assert report.status is ToolStatus.RAN, report.reason
    assert report.audited == 5
    found = vulnerabilities(report)
    assert {name.lower() for name in found} == {"jinja2", "pillow"}
    jinja = next(finding for name, finding in found.items() if name.lower() == "jinja2")
    assert ((jinja.rule, *jinja.aliases), jinja.severity) == (names, Severity.HIGH)
    assert (jinja.installed_version, jinja.fixed_version) == ("2.4.1", "2.10.1")


def test_trivy_and_grype_are_witnesses_of_one_vulnerability(recorded: Recorded) -> None:
    both = recorded(trivy.SCANNER, "bad").findings + recorded(grype.SCANNER, "bad").findings
    found = [finding for finding in merge(both) if finding.fixed_version]
    assert [finding.tools for finding in found] == [("grype", "trivy"), ("grype", "trivy")]


def test_grype_says_the_same_of_a_bill_of_materials(recorded: Recorded) -> None:
    assert recorded(grype.OF_BILL, "bill").findings == recorded(grype.SCANNER, "bad").findings


def test_grype_reads_the_bill_where_there_is_one(tmp_path: Path) -> None:
    assert "docker-archive:image.tar" in grype.invocation({IMAGE: tmp_path}).arguments
    assert "sbom:sbom.cdx.json" in grype.invocation({BILL: tmp_path}).arguments


def test_trivy_reports_the_licences_of_libraries_that_a_lawyer_has_to_see(
    recorded: Recorded,
) -> None:
    report = recorded(trivy.SCANNER, "bad")
    found = {f.package: (f.rule, f.severity) for f in report.findings if "licence" in f.rule}
    assert found == {
        "graver": ("licence AGPL-3.0-only", Severity.HIGH),
        "driver": ("licence LicenseRef-Proprietary", Severity.LOW),
        "pillow": ("licence MIT-CMU", Severity.LOW),
    }
    raw = json.loads(outcome_of(trivy.SCANNER, "bad").stdout)
    programs = next(r for r in raw["Results"] if r["Target"] == trivy.PROGRAMS)
    assert programs["Licenses"], "bash is under the GPL, and runs beside the server"


def test_trivy_says_where_in_the_image_or_that_it_is_the_image(recorded: Recorded) -> None:
    report = recorded(trivy.SCANNER, "bad")
    assert places(report, "DS001") == {"image/app/Dockerfile"}
    assert places(report, "DS002") == {"image", "image/app/Dockerfile"}
    assert places(report, "aws-access-key-id") == {"image/app/settings.py"}


def test_trivy_on_sources(recorded: Recorded) -> None:
    report = recorded(trivy.FILES, "bad")
    assert {finding.tools for finding in report.findings} == {("trivy-files",)}
    assert places(report, "DS002") == {"Dockerfile"}
    assert "submission/train.py" in places(report, "aws-access-key-id")


@with_database
def test_the_age_of_the_database_is_recorded(scanner: Scanner, recorded: Recorded) -> None:
    fresh, old = recorded(scanner, "clean"), recorded(scanner, "old-database")
    assert fresh.database is not None
    assert old.database is not None
    assert (fresh.database - old.database).days in {8, 9}


@with_database
def test_a_database_that_is_too_old_is_not_run(scanner: Scanner, recorded: Recorded) -> None:
    report = recorded(scanner, "old-database")
    assert report.status is ToolStatus.NOT_RUN
    assert not report.findings
    assert "too old: built 2026-" in report.reason
    assert "9 days before the scan (at most 5)" in report.reason


@with_database
def test_no_database_is_not_run(scanner: Scanner, recorded: Recorded) -> None:
    report = recorded(scanner, "no-database")
    assert (report.status, report.reason) == (
        ToolStatus.NOT_RUN,
        "it has no vulnerability database",
    )


def test_trivy_without_the_date_of_its_database_is_not_run() -> None:
    report = trivy.parse(replace(outcome_of(trivy.SCANNER, "clean"), files={}), "0.67.2")
    assert report.status is ToolStatus.NOT_RUN
    assert "does not say when it was built" in report.reason


def test_trivy_that_crashes_on_an_image_is_not_run(recorded: Recorded) -> None:
    report = recorded(trivy.SCANNER, "crash")
    assert report.status is ToolStatus.NOT_RUN
    assert report.reason.startswith("it failed with exit code 2: panic: runtime error: ")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"valid": true', '"valid": false', "invalid"),
        ('"built": "2026', '"built": "2027', "after the scan"),
    ],
)
def test_grype_with_a_strange_database_is_not_run(old: str, new: str, reason: str) -> None:
    clean = outcome_of(grype.SCANNER, "clean")
    text = json.dumps(json.loads(clean.stdout))
    assert old in text
    report = grype.parse(replace(clean, stdout=text.replace(old, new)), "0.121.2")
    assert report.status is ToolStatus.NOT_RUN
    assert reason in report.reason


def test_grype_that_does_not_say_how_much_it_matched_is_not_run() -> None:
    report = grype.parse(replace(outcome_of(grype.SCANNER, "clean"), stderr=""), "0.121.2")
    assert report.status is ToolStatus.NOT_RUN


@images
def test_what_is_no_image_is_not_run(scanner: Scanner, recorded: Recorded) -> None:
    report = recorded(scanner, "broken")
    assert report.status is ToolStatus.NOT_RUN
    assert report.reason.startswith("it failed with exit code 1: ")
    assert "\x1b" not in report.reason


@pytest.mark.parametrize("scanner", [trivy.SCANNER, grype.SCANNER, gitleaks.SCANNER, trivy.FILES])
def test_nothing_to_look_at_is_not_run(scanner: Scanner, recorded: Recorded) -> None:
    report = recorded(scanner, "nothing")
    assert (report.status, report.reason) == (ToolStatus.NOT_RUN, "it found nothing to look at")


@pytest.mark.parametrize(
    "scanner",
    [trivy.SCANNER, grype.SCANNER, dockle.SCANNER, gitleaks.SCANNER, trivy.FILES],
    ids=lambda scanner: scanner.name,
)
def test_a_clean_image_or_folder(scanner: Scanner, recorded: Recorded) -> None:
    report = recorded(scanner, "clean")
    assert (report.status, report.findings) == (ToolStatus.RAN, ())
    assert report.audited > 0


@pytest.mark.parametrize("scanner", [gitleaks.SCANNER, trivy.FILES, trivy.SCANNER, dockle.SCANNER])
def test_no_finding_repeats_a_secret(scanner: Scanner, recorded: Recorded) -> None:
    text = recorded(scanner, "bad").model_dump_json()
    assert AWS_KEY not in text
    assert PLANTED not in text
