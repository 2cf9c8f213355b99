from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.findings import ToolReport, ToolStatus
from pipeline.scanning import kept
from pipeline.tools import bandit, grype, pip_audit
from pipeline.tools.interface import Scanner, not_run

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
INPUTS = {"server": "a", "submission": "b", "requirements.txt": "c"}
RAN = ToolReport(tool="t", version="1", status=ToolStatus.RAN, audited=3)


def key(scanner: Scanner, now: datetime = NOON, **changes: str) -> dict[str, str]:
    return kept.key_of(scanner, "1", "host", INPUTS | changes, "code", now)


def result(scanner: Scanner, report: ToolReport, at: datetime = NOON) -> kept.Result:
    return kept.Result(key=key(scanner), at=at, report=report, raw="{}", log="")


def test_a_result_is_found_again(tmp_path: Path) -> None:
    saved = kept.save(tmp_path / "x", bandit.SCANNER, result(bandit.SCANNER, RAN))
    later = NOON + timedelta(days=400)
    assert kept.load(tmp_path / "x", key(bandit.SCANNER, later), later) == saved


def test_a_service_s_answer_holds_for_its_day(tmp_path: Path) -> None:
    kept.save(tmp_path / "x", pip_audit.SCANNER, result(pip_audit.SCANNER, RAN))
    evening, tomorrow = NOON + timedelta(hours=11), NOON + timedelta(hours=12)
    assert kept.load(tmp_path / "x", key(pip_audit.SCANNER, evening), evening)
    assert not kept.load(tmp_path / "x", key(pip_audit.SCANNER, tomorrow), tomorrow)


def test_an_answer_from_a_database_that_ages_holds_for_its_day() -> None:
    assert key(grype.SCANNER) == key(grype.SCANNER, NOON + timedelta(hours=11))
    assert key(grype.SCANNER) != key(grype.SCANNER, NOON + timedelta(hours=12))
    assert key(grype.SCANNER) != key(grype.SCANNER, **{grype.DATABASE: "other"})


def test_only_what_a_scanner_reads_counts() -> None:
    assert key(bandit.SCANNER) == key(bandit.SCANNER, **{"requirements.txt": "other"})
    assert key(bandit.SCANNER) != key(bandit.SCANNER, server="other")


def test_a_service_out_of_reach_is_kept_for_minutes_and_says_since_when(tmp_path: Path) -> None:
    report = not_run("pip-audit", "1", "no network")
    saved = kept.save(tmp_path / "x", pip_audit.SCANNER, result(pip_audit.SCANNER, report))
    assert saved.report.reason == "no network (as of 12:00 UTC)"
    soon, late = NOON + timedelta(minutes=4), NOON + timedelta(minutes=5)
    assert kept.load(tmp_path / "x", saved.key, soon) == saved
    assert kept.load(tmp_path / "x", saved.key, late) is None
    assert kept.load(tmp_path / "x", saved.key, NOON - timedelta(minutes=1)) is None


def test_an_offline_tool_that_did_not_run_is_tried_again(tmp_path: Path) -> None:
    failed = result(bandit.SCANNER, not_run("bandit", "1", "crashed"))
    kept.save(tmp_path / "x", bandit.SCANNER, failed)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"[1]"])
def test_a_damaged_file_is_no_result(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    assert kept.load(tmp_path / "x", key(bandit.SCANNER), NOON) is None


def test_another_key_at_the_same_place_is_no_result(tmp_path: Path) -> None:
    kept.save(tmp_path / "x", bandit.SCANNER, result(bandit.SCANNER, RAN))
    assert kept.load(tmp_path / "x", key(bandit.SCANNER, server="other"), NOON) is None
