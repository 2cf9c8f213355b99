"""A run under way: stages are opened where their place is, and reports are kept as they come."""

from __future__ import annotations

from pathlib import Path

import pytest
from pretended import Diary, Elsewhere, Known, line

from pipeline import runs
from pipeline.line import Line, Stopped
from pipeline.record import Outcome, StageReport
from pipeline.state import State


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def under_way(tmp_path: Path, diary: Diary) -> Line:
    return line(State(tmp_path / "state"), Elsewhere(), Known(), diary)


def report(stage: str, outcome: Outcome = Outcome.PASSED) -> StageReport:
    return StageReport(stage=stage, outcome=outcome, summary="")


def on_disk(under_way: Line) -> list[str]:
    found = runs.load(under_way.state, under_way.record.id).record
    return [stage.stage for stage in found.stages]


def test_a_stage_works_where_its_place_is(under_way: Line, diary: Diary) -> None:
    context = under_way.open("govern")
    place, state = under_way.place, under_way.state
    assert (context.runtime, context.engine) == (place.runtime, place.engine)
    assert context.builder == place.builder(state)
    assert (context.state, context.run_folder) == (state, under_way.run.folder)
    assert (context.environment, context.bundle) == (under_way.environment, under_way.bundle)
    assert diary.lines == ["govern started"]


def test_stages_side_by_side_are_told_apart(under_way: Line, diary: Diary) -> None:
    scan, sbom = under_way.open("scan"), under_way.open("sbom")
    scan.progress.step("looking")
    sbom.progress.step("listing")
    assert diary.lines[-2:] == ["scan: looking", "sbom: listing"]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_report_is_on_record_before_anybody_is_told(
    under_way: Line, diary: Diary, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(diary, "finished", lambda report: seen.append(on_disk(under_way)))
    assert under_way.keep(report("scan", outcome)) is (outcome is Outcome.PASSED)
    assert seen == [["scan"]]
    assert [stage.outcome for stage in under_way.record.stages] == [outcome]


def test_a_no_stops_the_run_with_its_report_on_record(under_way: Line, diary: Diary) -> None:
    under_way.require(report("validate"))
    with pytest.raises(Stopped):
        under_way.require(report("govern", Outcome.DENIED))
    assert on_disk(under_way) == ["validate", "govern"]
    assert diary.lines == ["validate passed", "govern denied"]
