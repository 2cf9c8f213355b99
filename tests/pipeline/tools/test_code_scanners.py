"""hadolint, bandit, semgrep and detect-secrets on recorded reports."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from planted_defects import AWS_KEY

from pipeline.findings import Severity, ToolReport, ToolStatus
from pipeline.resources import folder
from pipeline.tools import bandit, detect_secrets, hadolint, semgrep
from pipeline.tools.interface import Scanner

Recorded = Callable[[Scanner, str], ToolReport]


def rules(report: ToolReport) -> set[str]:
    return {finding.rule for finding in report.findings}


def test_hadolint_findings(recorded: Recorded) -> None:
    report = recorded(hadolint.SCANNER, "bad")
    by_rule = {finding.rule: finding for finding in report.findings}
    assert by_rule["DL3020"].severity is Severity.HIGH, "its pragma must not silence it"
    assert by_rule["DL3020"].location is not None
    assert by_rule["DL3020"].location.line == 3
    assert by_rule["DL3007"].severity is Severity.MEDIUM
    assert report.version == "2.15.1"


def test_hadolint_says_where_to_read_more(recorded: Recorded) -> None:
    urls = {finding.url for finding in recorded(hadolint.SCANNER, "bad").findings}
    assert "https://github.com/hadolint/hadolint/wiki/DL3020" in urls


def test_a_clean_dockerfile_is_a_run_without_findings(recorded: Recorded) -> None:
    report = recorded(hadolint.SCANNER, "clean")
    assert (report.status, report.audited, report.findings) == (ToolStatus.RAN, 1, ())


def test_a_dockerfile_that_cannot_be_parsed_is_a_defect(recorded: Recorded) -> None:
    (finding,) = recorded(hadolint.SCANNER, "broken").findings
    assert (finding.rule, finding.severity) == ("DL1000", Severity.HIGH)


def test_no_dockerfile_is_not_run(recorded: Recorded) -> None:
    report = recorded(hadolint.SCANNER, "missing")
    assert report.status is ToolStatus.NOT_RUN
    assert "does not exist" in report.reason


def test_bandit_findings_despite_nosec_and_a_submitted_configuration(recorded: Recorded) -> None:
    report = recorded(bandit.SCANNER, "bad")
    assert {"B301", "B602", "B614", "B506", "B307", "B501"} <= rules(report)
    assert report.audited == 2
    shell = next(finding for finding in report.findings if finding.rule == "B602")
    assert shell.severity is Severity.HIGH
    assert shell.aliases == ("CWE-78",)
    assert str(shell.location and shell.location.file) == "submission/train.py"


def test_semgrep_has_a_finding_for_every_rule_of_ours(recorded: Recorded) -> None:
    ours = {
        rule["id"]: rule
        for path in (folder("policies") / "semgrep").glob("*.yml")
        for rule in yaml.safe_load(path.read_text())["rules"]
    }
    report = recorded(semgrep.SCANNER, "bad")
    assert rules(report) == set(ours)
    for rule in ours.values():
        assert rule["metadata"].keys() == {"cwe", "fix"}
        assert rule["message"]


def test_semgrep_tells_what_to_write_instead(recorded: Recorded) -> None:
    report = recorded(semgrep.SCANNER, "bad")
    torch = next(f for f in report.findings if f.rule == "torch-load-without-weights-only")
    assert "Instead: torch.load(path, weights_only=True)" in torch.message
    assert torch.severity is Severity.HIGH


def test_detect_secrets_finds_keys_whatever_the_file_says(recorded: Recorded) -> None:
    report = recorded(detect_secrets.SCANNER, "bad")
    places = {str(finding.location and finding.location.file) for finding in report.findings}
    assert places == {"submission/train.py", "submission/tests/swagger.py"}
    assert {finding.severity for finding in report.findings} == {Severity.HIGH}


@pytest.mark.parametrize("scanner", [bandit.SCANNER, semgrep.SCANNER, detect_secrets.SCANNER])
def test_no_report_repeats_a_secret(scanner: Scanner, recorded: Recorded) -> None:
    assert AWS_KEY not in recorded(scanner, "bad").model_dump_json()


@pytest.mark.parametrize("scanner", [bandit.SCANNER, semgrep.SCANNER, detect_secrets.SCANNER])
def test_clean_sources(scanner: Scanner, recorded: Recorded) -> None:
    report = recorded(scanner, "clean")
    assert (report.status, report.findings) == (ToolStatus.RAN, ())
    assert report.audited > 0


@pytest.mark.parametrize("scanner", [bandit.SCANNER, semgrep.SCANNER])
def test_a_source_that_cannot_be_read_makes_the_scan_incomplete(
    scanner: Scanner, recorded: Recorded
) -> None:
    report = recorded(scanner, "broken")
    assert report.status is ToolStatus.NOT_RUN
    assert "submission/train.py" in report.reason


@pytest.mark.parametrize("scanner", [bandit.SCANNER, semgrep.SCANNER, detect_secrets.SCANNER])
def test_an_empty_folder_is_not_run(scanner: Scanner, recorded: Recorded) -> None:
    report = recorded(scanner, "nothing")
    assert report.status is ToolStatus.NOT_RUN
    assert "nothing to look at" in report.reason


def test_a_wrong_rule_is_not_run(recorded: Recorded) -> None:
    report = recorded(semgrep.SCANNER, "wrong-rules")
    assert report.status is ToolStatus.NOT_RUN
    assert "could not read everything" in report.reason
