"""Run folders: what is on disk while a run goes on, after it ended, and after a kill."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import __version__, runs
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed, InvalidInput
from pipeline.record import Outcome, RunRecord, StageReport
from pipeline.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


def begin(state: State, **facts: Any) -> runs.Run:
    defaults: dict[str, Any] = {
        "command": "deploy",
        "manifest": Path("model.yaml"),
        "environment": Environment.LOCAL,
        "runtime": "host",
    }
    return runs.start(state, **(defaults | facts))


def on_disk(run: runs.Run) -> RunRecord:
    return RunRecord.model_validate_json((run.folder / "record.json").read_bytes())


def report(stage: str, outcome: Outcome = Outcome.PASSED) -> StageReport:
    return StageReport(stage=stage, outcome=outcome, summary=f"{stage} did well")


def test_a_run_is_on_disk_from_its_start(state: State) -> None:
    run = begin(state, manifest_digest="sha256:aa", model="fraud-detector", version="1.0.0")
    assert run.folder == state.runs / run.record.id
    assert on_disk(run) == run.record
    assert run.record.outcome is None
    assert run.record.pid == os.getpid()
    assert (run.record.model, run.record.version) == ("fraud-detector", "1.0.0")
    assert run.record.manifest == "model.yaml"


def test_a_record_says_what_decided_besides_its_inputs(state: State) -> None:
    own = {"mlifecycle": __version__, "python": platform.python_version()}
    assert on_disk(begin(state)).versions == own
    assert on_disk(begin(state, versions={"uv": "1.0"})).versions == own | {"uv": "1.0"}


def test_every_stage_is_on_disk_when_it_is_added(state: State) -> None:
    run = begin(state)
    run.add(report("govern"))
    run.note(release="sha256:bb")
    run.add(report("scan", Outcome.DENIED))
    assert [stage.stage for stage in on_disk(run).stages] == ["govern", "scan"]
    assert on_disk(run).release == "sha256:bb"
    run.finish(Outcome.DENIED, "the scan said no")
    record = on_disk(run)
    assert (record.outcome, record.error) == (Outcome.DENIED, "the scan said no")
    assert record.finished is not None
    assert record.finished >= record.started


def test_runs_are_listed_newest_first(state: State) -> None:
    begun = [begin(state).record.id for _ in range(3)]
    listed = [found.record.id for found in runs.listed(state)]
    assert listed == sorted(begun, reverse=True)
    assert len(set(begun)) == 3


def test_a_run_goes_on_until_it_is_finished(state: State) -> None:
    run = begin(state)
    assert runs.load(state, run.record.id).status is runs.Status.RUNNING
    run.finish(Outcome.PASSED)
    assert runs.load(state, run.record.id).status is runs.Status.PASSED


def test_a_killed_run_is_interrupted(state: State) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from pipeline import runs\n"
        "from pipeline.environment import Environment\n"
        "from pipeline.state import State\n"
        "run = runs.start(State(Path(sys.argv[1])), command='deploy', manifest='m.yaml',\n"
        "                 environment=Environment.LOCAL, runtime='host')\n"
        "print(run.record.id, flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, str(state.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert runs.load(state, name).status is runs.Status.RUNNING
        process.send_signal(signal.SIGKILL)
        process.wait()
    found = runs.load(state, name)
    assert found.status is runs.Status.INTERRUPTED
    assert found.record.outcome is None


def test_the_lock_does_not_pass_to_programs_that_a_run_starts(state: State) -> None:
    run = begin(state)
    with subprocess.Popen(["sleep", "600"]) as child:
        run._lock.close()
        status = runs.load(state, run.record.id).status
        child.kill()
    assert status is runs.Status.INTERRUPTED


def test_the_latest_run_can_be_asked_for_by_model_and_environment(state: State) -> None:
    assert runs.latest(state) is None
    # Starts within one millisecond have no order, so these get names of their own.
    for hour, model, environment in [(1, "a", "local"), (3, "b", "local"), (2, "a", "prod")]:
        run = begin(state, model=model, environment=Environment(environment))
        run.folder.rename(state.runs / f"20260101T{hour:02}0000000Z-000000")

    def name(**asked: Any) -> str:
        found = runs.latest(state, **asked)
        assert found is not None
        return f"{found.record.model} {found.record.environment}"

    assert name() == "b local"
    assert name(model="a") == "a prod"
    assert name(model="a", environment=Environment.LOCAL) == "a local"
    assert runs.latest(state, model="b", environment=Environment.PROD) is None


@pytest.mark.parametrize("name", ["", "..", "../runs", "20260101T000000000Z-000000", "nonsense"])
def test_an_unknown_id_is_refused(state: State, name: str) -> None:
    begin(state)
    with pytest.raises(InvalidInput, match="expected the id of a run"):
        runs.load(state, name)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}'])
def test_a_spoilt_record_is_named(state: State, content: str) -> None:
    run = begin(state)
    (run.folder / "record.json").write_text(content)
    with pytest.raises(EnvironmentFailed, match=f"{run.record.id}/record.json cannot be read"):
        runs.load(state, run.record.id)


def test_other_files_among_the_runs_are_no_runs(state: State) -> None:
    run = begin(state)
    (state.runs / "notes").mkdir()
    (state.runs / "20260101T000000000Z-000000").write_text("a file of that name")
    (state.runs / "20260101T000000000Z-000001").mkdir()
    assert [found.record.id for found in runs.listed(state)] == [run.record.id]


def test_old_runs_are_removed_but_for_evidence_and_runs_that_go_on(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "KEPT", 2)
    moved_traffic = begin(state, command="deploy")
    moved_traffic.finish(Outcome.PASSED)
    moved_traffic.folder.rename(state.runs / "20250101T000000000Z-000003")
    for minute in range(6):
        run = begin(state, command="govern")
        run.finish(Outcome.PASSED)
        run.folder.rename(state.runs / f"20260101T00{minute:02}00000Z-000000")
    going_on = begin(state)
    going_on.folder.rename(state.runs / "20250101T000000000Z-000000")
    killed = state.runs / "20250101T000000000Z-000001"
    killed.mkdir()
    half_removed = state.runs / ".removed-20250101T000000000Z-000002"
    half_removed.mkdir()

    removed = runs.prune(state, keep={"20260101T000200000Z-000000"})
    assert removed == [
        "20260101T000300000Z-000000",
        "20260101T000100000Z-000000",
        "20260101T000000000Z-000000",
        "20250101T000000000Z-000001",
    ]
    assert sorted(path.name for path in state.runs.iterdir() if path.is_dir()) == [
        "20250101T000000000Z-000000",
        "20250101T000000000Z-000003",
        "20260101T000200000Z-000000",
        "20260101T000400000Z-000000",
        "20260101T000500000Z-000000",
    ]
    assert runs.prune(state, keep={"20260101T000200000Z-000000"}) == []
    going_on._lock.close()


def test_nothing_to_prune_is_no_error(state: State) -> None:
    assert runs.prune(state, keep=()) == []
    assert list(runs.listed(state)) == []


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in its place")
    with pytest.raises(EnvironmentFailed, match="cannot be kept"):
        begin(State(tmp_path / "state"))


def test_the_lock_is_given_up_even_if_the_record_cannot_be_written(state: State) -> None:
    run = begin(state)
    (run.folder / "record.json").unlink()
    (run.folder / "record.json").mkdir()
    with pytest.raises(EnvironmentFailed, match="cannot be kept"):
        run.finish(Outcome.PASSED)
    assert run._lock.closed


def test_a_record_is_plain_json(state: State) -> None:
    run = begin(state)
    run.finish(Outcome.PASSED)
    document = json.loads((run.folder / "record.json").read_text())
    assert document["format"] == 1
    assert document["outcome"] == "passed"
    assert document["environment"] == "local"
