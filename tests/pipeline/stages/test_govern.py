"""govern: the verdict becomes a report, with the very document that was judged beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from pipeline import digest, resources
from pipeline import manifest as manifests
from pipeline.catalog.interface import Serving
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed
from pipeline.places.host import FolderBuilder
from pipeline.policy.bundle import Bundle
from pipeline.policy.interface import PolicyFailed
from pipeline.policy.regocpp import RegoCpp
from pipeline.record import Outcome, StageReport
from pipeline.runtimes.host import Host
from pipeline.runtimes.interface import Invocation, ToolNotFound
from pipeline.runtimes.interface import Outcome as Run
from pipeline.stages import govern
from pipeline.stages.interface import Context
from pipeline.state import State
from pipeline.verdict import Level

EXAMPLES = Path(__file__).parents[3] / "examples"
VALID = EXAMPLES / "valid" / "model-manifest.yaml"
SERVING = Serving(
    name="fraud-detector",
    namespace="payments-risk",
    version="1.1.0",
    environment=Environment.LOCAL,
    release="sha256:" + "1" * 64,
    metrics={"accuracy": 0.96, "f1_score": 0.92},
    run="run-1",
    verdict="sha256:" + "2" * 64,
    since=datetime(2026, 11, 1, tzinfo=UTC),
)


@dataclass
class Told:
    steps: list[str] = field(default_factory=list)

    def step(self, message: str) -> None:
        self.steps.append(message)


class Failing:
    """An engine that raises."""

    name = "failing"

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def version(self) -> str:
        return "1"

    async def evaluate(self, bundle: Bundle, query: str, document: Mapping[str, Any]) -> Any:
        raise self.error


def judged(
    folder: Path, path: Path = VALID, serving: Serving | None = None, **changes: Any
) -> StageReport:
    settings: dict[str, Any] = {
        "environment": Environment.LOCAL,
        "bundle": Bundle.load(resources.folder("policies")),
        "engine": RegoCpp(),
        "runtime": Host(),
        "builder": FolderBuilder(Host(), State(folder / "state")),
        "state": State(folder / "state"),
        "run_folder": folder / "run",
        "progress": Told(),
    }
    context = Context(**(settings | changes))
    return anyio.run(govern.run, context, manifests.load(path), serving)


def test_a_yes(tmp_path: Path) -> None:
    told = Told()
    report = judged(tmp_path, progress=told)
    assert (report.stage, report.outcome, report.violations) == ("govern", Outcome.PASSED, ())
    assert report.summary == "allowed for local, 0 warnings"
    assert told.steps == ["judging the manifest by the rules for local"]
    assert report.inputs["manifest"] == manifests.load(VALID).digest
    assert report.inputs["policies"] == Bundle.load(resources.folder("policies")).digest


def test_a_no_names_the_rule(tmp_path: Path) -> None:
    report = judged(tmp_path, EXAMPLES / "invalid" / "MG-ACC-001.yaml")
    assert report.outcome is Outcome.DENIED
    assert report.summary == "denied for local by MG-ACC-001"
    (violation,) = report.violations
    assert (violation.path, violation.actual) == ("spec.metrics.accuracy", 0.84)
    assert violation.remedy


def test_the_verdict_is_kept_with_what_was_judged(tmp_path: Path) -> None:
    report = judged(tmp_path, serving=SERVING)
    path = tmp_path / "run" / report.artifacts["verdict"]
    assert report.outputs["verdict"] == digest.of_file(path)
    kept = json.loads(path.read_text())
    assert kept["verdict"]["allowed"] is True
    assert kept["verdict"]["engine"] == "rego-cpp"
    assert kept["input"] == {
        "environment": "local",
        "manifest": manifests.load(VALID).document,
        "catalog": {
            "serving": {"version": "1.1.0", "metrics": {"accuracy": 0.96, "f1_score": 0.92}}
        },
    }


def test_it_compares_with_what_the_catalog_says(tmp_path: Path) -> None:
    worse = EXAMPLES / "invalid" / "MG-REG-001.yaml"
    assert judged(tmp_path, worse).outcome is Outcome.PASSED
    report = judged(tmp_path, worse, SERVING)
    assert [violation.id for violation in report.violations] == ["MG-REG-001"]
    assert report.inputs["catalog"] != judged(tmp_path, worse).inputs["catalog"]


def test_the_environment_decides_what_is_enough(tmp_path: Path) -> None:
    report = judged(
        tmp_path, EXAMPLES / "invalid" / "MG-DIG-001.yaml", environment=Environment.PROD
    )
    assert [violation.id for violation in report.violations] == ["MG-DIG-001"]


def test_no_decision_is_a_no(tmp_path: Path) -> None:
    report = judged(tmp_path, engine=Failing(PolicyFailed("x.rego:1: broken")))
    assert report.outcome is Outcome.DENIED
    assert report.summary == "denied for local by MG-ENG-001"


def test_no_engine_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed):
        judged(tmp_path, engine=Failing(EnvironmentFailed("no engine")))


def test_the_same_document_is_judged_once(tmp_path: Path) -> None:
    first, again = judged(tmp_path), judged(tmp_path)
    assert (first.reused, again.reused) == (False, True)
    assert again.outputs == first.outputs
    assert judged(tmp_path, serving=SERVING).reused is False


def test_another_release_of_the_engine_judges_anew(tmp_path: Path) -> None:
    class Newer(RegoCpp):
        async def version(self) -> str:
            return "999"

    judged(tmp_path)
    assert [judged(tmp_path, engine=Newer()).reused for _ in range(2)] == [False, True]


def test_a_kept_verdict_of_other_policies_or_in_pieces_is_not_taken(tmp_path: Path) -> None:
    judged(tmp_path)
    (kept,) = (tmp_path / "state" / "cache" / "govern").glob("*/verdict.json")
    assert len(kept.parent.name) == 64
    verdict = json.loads(kept.read_text())
    for other in ({"policy_digest": "sha256:0"}, {"engine": "opa"}, {"allowed": None}):
        kept.write_text(json.dumps(verdict | other))
        assert judged(tmp_path).reused is False
    kept.write_text("{")
    assert judged(tmp_path).reused is False
    assert judged(tmp_path).reused is True


def test_having_reached_no_decision_is_not_kept(tmp_path: Path) -> None:
    assert judged(tmp_path, engine=Failing(PolicyFailed("it ran away"))).outcome is Outcome.DENIED
    assert judged(tmp_path, engine=Failing(PolicyFailed("it ran away"))).reused is False


class Checking:
    """A runtime whose opa says `said`, or that has none."""

    name = "checking"

    def __init__(self, said: str | None) -> None:
        self.said = said

    async def run(self, invocation: Invocation) -> Run:
        if self.said is None:
            raise ToolNotFound("opa", "Install it.")
        assert invocation.arguments[0] == "check"
        return Run(exit_code=1 if self.said else 0, stdout="", stderr=self.said)

    async def version(self, tool: str) -> str | None:
        return None


def with_own_policies(folder: Path, said: str | None, environment: Environment) -> StageReport:
    (folder / "own" / "data").mkdir(parents=True)
    (folder / "own" / "data" / "local.yaml").write_text("drift: {warn_from: 0.1}\n")
    bundle = Bundle.load(resources.folder("policies"), folder / "own")
    return judged(folder, bundle=bundle, runtime=Checking(said), environment=environment)


def test_ones_own_policies_must_please_opa(tmp_path: Path) -> None:
    assert with_own_policies(tmp_path / "a", "", Environment.LOCAL).violations == ()
    report = with_own_policies(tmp_path / "b", "unsafe variable imput", Environment.LOCAL)
    assert report.outcome is Outcome.DENIED
    assert [v.id for v in report.violations] == ["MG-ENG-002"]
    assert report.violations[0].actual == "unsafe variable imput"


def test_without_opa_ones_own_policies_warn_and_bind_no_production(tmp_path: Path) -> None:
    report = with_own_policies(tmp_path / "a", None, Environment.LOCAL)
    assert report.outcome is Outcome.PASSED
    assert [(v.id, v.level) for v in report.violations] == [("MG-ENG-002", Level.WARN)]
    report = with_own_policies(tmp_path / "b", None, Environment.PROD)
    assert ("MG-ENG-002", Level.DENY) in [(v.id, v.level) for v in report.violations]
