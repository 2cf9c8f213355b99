"""The offline scanners themselves, as installed, on planted defects."""

from __future__ import annotations

import asyncio
from pathlib import Path

import planted_defects as planted
import pytest

from pipeline.findings import ToolReport, ToolStatus
from pipeline.resources import folder
from pipeline.runtimes.host import Host
from pipeline.runtimes.interface import ToolNotFound
from pipeline.tools import bandit, detect_secrets, hadolint, semgrep
from pipeline.tools.interface import Scanner
from pipeline.tools.registry import SCANNERS


def scan(scanner: Scanner, inputs: dict[str, Path]) -> ToolReport:
    async def run() -> ToolReport:
        host = Host()
        version = await host.version(scanner.command)
        return scanner.parse(await host.run(scanner.invocation(inputs)), version or "")

    report = asyncio.run(run())
    assert report.status is ToolStatus.RAN, report.reason
    return report


def places(report: ToolReport) -> set[str]:
    return {str(finding.location and finding.location.file) for finding in report.findings}


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    return planted.bad_submission(tmp_path / "mine")


def test_hadolint_finds_what_a_pragma_hides(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(planted.BAD_DOCKERFILE)
    report = scan(hadolint.SCANNER, {"Dockerfile": tmp_path / "Dockerfile"})
    assert "DL3020" in {finding.rule for finding in report.findings}


def test_our_own_dockerfile_is_clean() -> None:
    report = scan(hadolint.SCANNER, {"Dockerfile": folder("serving") / "Dockerfile"})
    assert not report.findings


def test_bandit_finds_what_a_configuration_hides(submission: Path) -> None:
    report = scan(bandit.SCANNER, {"submission": submission})
    assert {"B301", "B602"} <= {finding.rule for finding in report.findings}
    assert "submission/train.py" in places(report)


def test_semgrep_finds_what_ignore_files_and_folder_names_hide(submission: Path) -> None:
    rules = folder("policies") / "semgrep"
    report = scan(semgrep.SCANNER, {"submission": submission, "rules": rules})
    assert places(report) == {"submission/train.py", "submission/tests/swagger.py"}


def test_detect_secrets_finds_what_comments_and_file_names_hide(submission: Path) -> None:
    report = scan(detect_secrets.SCANNER, {"submission": submission})
    assert places(report) == {"submission/train.py", "submission/tests/swagger.py"}


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda scanner: scanner.name)
def test_a_scanner_that_is_not_installed_is_told_apart(
    scanner: Scanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    host = Host({"PATH": str(tmp_path)})
    assert asyncio.run(host.version(scanner.command)) is None
    inputs = dict.fromkeys(scanner.reads, tmp_path)
    with pytest.raises(ToolNotFound):
        asyncio.run(host.run(scanner.invocation(inputs)))
