"""The order of the stages, and what a no or a failure in one of them leaves behind.

The stages only say here what the test wants; the place only remembers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from pretended import EXAMPLE, Diary, Elsewhere
from pretended import release as a_release

from pipeline import release as releases
from pipeline import rollout, runs
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed, InvalidInput
from pipeline.record import Outcome, RunRecord, StageReport
from pipeline.release import Goal, Request, Result
from pipeline.stages.interface import Context
from pipeline.state import State

RELEASE = a_release("sha256:" + "1" * 64, "1.2.0")
BEFORE = ["validate", "govern", "build"]


@dataclass
class Stages:
    """What the stages say: yes, unless they are among `no` or `fail` with an error.

    Those in `slow` say it after all others that run beside them.
    """

    ran: list[str] = field(default_factory=list)
    no: set[str] = field(default_factory=set)
    fail: dict[str, BaseException] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)

    def say(self, stage: str) -> Callable[..., Any]:
        async def run(context: Context, *_: Any) -> Any:
            self.ran.append(stage)
            if stage in self.slow:
                await anyio.wait_all_tasks_blocked()
            if stage in self.fail:
                raise self.fail[stage]
            outcome = Outcome.DENIED if stage in self.no else Outcome.PASSED
            report = StageReport(stage=stage, outcome=outcome, summary="")
            made = {"build": RELEASE if outcome is Outcome.PASSED else None, "render": b""}
            return (report, made[stage]) if stage in made else report

        return run


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    stages = Stages()
    for name in ("govern", "build", "scan", "sbom", "render", "judge"):
        monkeypatch.setattr(f"pipeline.stages.{name}.run", stages.say(name))
    monkeypatch.setattr("pipeline.stages.scan.lint", stages.say("lint"))
    return stages


@pytest.fixture
def place() -> Elsewhere:
    return Elsewhere()


@dataclass
class Asked:
    """A request of which only the goal is open."""

    state: State
    place: Elsewhere
    diary: Diary = field(default_factory=Diary)

    def __call__(self, goal: Goal, manifest: Path = EXAMPLE, **more: Any) -> Result:
        request = Request(goal, manifest, Environment.DEV, self.state, place=self.place, **more)
        return anyio.run(releases.run, request, self.diary)

    @property
    def recorded(self) -> RunRecord:
        """The only run, as it lies on disk."""
        (found,) = runs.listed(self.state)
        return found.record


@pytest.fixture
def ask(tmp_path: Path, place: Elsewhere, stages: Stages) -> Asked:
    return Asked(State(tmp_path / "state"), place)


def names(record: RunRecord) -> list[str]:
    return [stage.stage for stage in record.stages]


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (Goal.GOVERN, ["validate", "govern"]),
        (Goal.LINT, ["validate", "lint"]),
        (Goal.BUILD, BEFORE),
        (Goal.SCAN, [*BEFORE, "scan"]),
        (Goal.SBOM, [*BEFORE, "sbom"]),
        (Goal.EVIDENCE, [*BEFORE, "scan", "sbom"]),
        (Goal.DEPLOY, [*BEFORE, "scan", "sbom"]),
    ],
)
def test_a_run_goes_as_far_as_its_goal(ask: Asked, goal: Goal, expected: list[str]) -> None:
    result = ask(goal)
    assert sorted(names(result.record)) == sorted(expected)
    assert names(result.record)[:3] == expected[:3]
    assert result.record.outcome is Outcome.PASSED
    assert result.built == (RELEASE if "build" in expected else None)
    assert (result.served is not None) is (goal is Goal.DEPLOY)
    assert ask.recorded == result.record


@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        (Goal.BUILD, BEFORE),
        (Goal.RENDER, [*BEFORE, "render", "judge"]),
        (Goal.EVIDENCE, [*BEFORE, "scan", "sbom", "render", "judge"]),
        (Goal.DEPLOY, [*BEFORE, "scan", "sbom", "render", "judge"]),
    ],
)
def test_what_a_cluster_can_pull_has_its_objects(
    ask: Asked, place: Elsewhere, goal: Goal, expected: list[str]
) -> None:
    place.image = "registry.example/it:1.2.0@sha256:" + "2" * 64
    assert sorted(names(ask(goal).record)) == sorted(expected)
    assert ask.recorded.stages[-1].stage == expected[-1]


def test_an_image_that_is_named_is_rendered_without_building_one(ask: Asked) -> None:
    image = "registry.example/it:1.2.0@sha256:" + "2" * 64
    result = ask(Goal.RENDER, image=image)
    assert names(result.record) == ["validate", "govern", "render", "judge"]
    assert result.built is None


def test_an_image_without_a_digest_is_refused_before_anything_is_written(ask: Asked) -> None:
    with pytest.raises(InvalidInput, match="an image by digest"):
        ask(Goal.RENDER, image="registry.example/it:1.2.0")
    assert not list(runs.listed(ask.state))


def test_where_no_image_is_built_there_is_nothing_to_render(ask: Asked) -> None:
    with pytest.raises(EnvironmentFailed, match="There is nothing to render"):
        ask(Goal.RENDER)
    assert ask.recorded.outcome is Outcome.FAILED


@pytest.mark.parametrize("stage", ["render", "judge"])
def test_objects_that_are_denied_are_not_deployed(
    ask: Asked, place: Elsewhere, stages: Stages, stage: str
) -> None:
    place.image = "registry.example/it:1.2.0@sha256:" + "2" * 64
    stages.no = {stage}
    result = ask(Goal.DEPLOY)
    assert result.record.outcome is Outcome.DENIED
    assert result.record.stages[-1].stage == stage
    assert place.diary == ["held", "let go"]


def test_a_record_says_where_the_run_was_and_with_what(ask: Asked) -> None:
    record = ask(Goal.BUILD).record
    assert (record.command, record.environment) == ("build", Environment.DEV)
    assert (record.runtime, record.versions["engine"]) == ("elsewhere", "7")
    assert (record.model, record.release) == ("payments-risk/fraud-detector", RELEASE.digest)


def test_a_deploy_is_held_from_its_beginning_to_its_end(ask: Asked, place: Elsewhere) -> None:
    ask(Goal.DEPLOY)
    assert place.diary == ["held", "deploy 1.2.0", "let go"]


@pytest.mark.parametrize("goal", sorted(set(Goal) - {Goal.DEPLOY}))
def test_what_deploys_nothing_holds_up_nobody(ask: Asked, place: Elsewhere, goal: Goal) -> None:
    place.image = "registry.example/it:1.2.0@sha256:" + "2" * 64
    ask(goal)
    assert place.diary == []


def test_the_evidence_of_a_deploy_is_what_its_verdict_rests_on(ask: Asked) -> None:
    result = ask(Goal.DEPLOY)
    path = result.folder / "reports" / "evidence.json"
    assert [stage["stage"] for stage in json.loads(path.read_text())] == names(result.record)
    assert rollout.evidence_of(result.record) == path.read_bytes()


@pytest.mark.parametrize("stage", ["govern", "build", "scan", "sbom"])
def test_a_no_ends_the_run_and_nothing_is_deployed(
    ask: Asked, place: Elsewhere, stages: Stages, stage: str
) -> None:
    stages.no.add(stage)
    result = ask(Goal.DEPLOY)
    assert (result.record.outcome, result.record.error) == (Outcome.DENIED, None)
    assert result.served is None
    assert place.diary == ["held", "let go"]
    assert ask.recorded == result.record
    assert (result.folder / "summary.md").is_file()
    after = {"govern": {"build", "scan", "sbom"}, "build": {"scan", "sbom"}}.get(stage, set())
    assert not after & set(stages.ran)


@pytest.mark.parametrize(("no", "slower"), [("scan", "sbom"), ("sbom", "scan")])
def test_both_examinations_report_before_either_ends_the_run(
    ask: Asked, stages: Stages, no: str, slower: str
) -> None:
    stages.no.add(no)
    stages.slow.add(slower)
    assert names(ask(Goal.DEPLOY).record)[-2:] == [no, slower]


def test_a_no_of_the_place_is_a_no(ask: Asked, place: Elsewhere) -> None:
    place.serves = False
    result = ask(Goal.DEPLOY)
    assert result.record.outcome is Outcome.DENIED
    assert result.served is None


@pytest.mark.parametrize("stage", ["govern", "build", "scan", "sbom"])
def test_a_failure_is_raised_as_it_is_once_the_record_is_closed(
    ask: Asked, place: Elsewhere, stages: Stages, stage: str
) -> None:
    failure = EnvironmentFailed("The disk is full.", "Make room.")
    stages.fail[stage] = failure
    with pytest.raises(EnvironmentFailed) as caught:
        ask(Goal.DEPLOY)
    assert caught.value is failure
    assert ask.recorded.outcome is Outcome.FAILED
    assert "The disk is full" in str(ask.recorded.error)
    assert place.diary == ["held", "let go"]


def test_an_interrupted_run_says_so(ask: Asked, stages: Stages) -> None:
    stages.fail["build"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        ask(Goal.BUILD)
    assert ask.recorded.outcome is Outcome.FAILED
    assert ask.recorded.error == "interrupted by KeyboardInterrupt"


def test_a_malformed_manifest_leaves_no_run(ask: Asked, tmp_path: Path) -> None:
    path = tmp_path / "model-manifest.yaml"
    path.write_text("kind: Nothing\n")
    with pytest.raises(InvalidInput):
        ask(Goal.DEPLOY, path)
    assert not ask.state.root.exists()
    assert ask.place.diary == []
