"""judge: every rendered object is given to the policies, and a no names object and place."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

sys.path.append(str(Path(__file__).parents[1] / "policy"))

from rendered_objects import DIGEST, IMAGE, SECURITY, Objects

from pipeline import digest, resources
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed
from pipeline.places.host import FolderBuilder
from pipeline.policy.bundle import Bundle
from pipeline.policy.regocpp import RegoCpp
from pipeline.record import Outcome
from pipeline.runtimes.host import Host
from pipeline.stages import judge
from pipeline.stages.interface import Context
from pipeline.state import State

POLICIES = resources.folder("policies")
Place = Callable[..., Context]


@pytest.fixture
def place(tmp_path: Path, told: Any) -> Place:
    def make(environment: Environment = Environment.PROD, policies: Path | None = None) -> Context:
        state = State(tmp_path / "state")
        return Context(
            environment=environment, bundle=Bundle.load(POLICIES, policies), engine=RegoCpp(),
            runtime=Host(), builder=FolderBuilder(Host(), state), state=state,
            run_folder=tmp_path / "run", progress=told,
        )  # fmt: skip

    return make


def written(objects: Objects) -> bytes:
    return "---\n".join(json.dumps(each) + "\n" for each in objects.every).encode()


def test_good_objects_are_allowed_and_the_verdict_is_kept(place: Place, tmp_path: Path) -> None:
    data = written(Objects())
    report = anyio.run(judge.run, place(), data)
    assert report.outcome is Outcome.PASSED
    assert report.summary == "9 objects allowed for prod"
    assert report.inputs["objects"] == digest.of_bytes(data)
    kept = tmp_path / "run" / report.artifacts["verdict"]
    assert report.outputs["verdict"] == digest.of_bytes(kept.read_bytes())
    assert json.loads(kept.read_bytes())["verdict"]["allowed"] is True


def test_a_no_names_the_object_the_place_and_what_to_do(place: Place) -> None:
    objects = Objects().put(*SECURITY, "privileged", True)
    report = anyio.run(judge.run, place(), written(objects))
    assert report.outcome is Outcome.DENIED
    assert report.summary == "denied for prod by KD-PRV-001"
    (violation,) = report.violations
    assert violation.path == (
        "Deployment/fraud-detector spec.template.spec.containers[0].securityContext.privileged"
    )
    assert (violation.title, violation.actual) == ("Nothing is privileged", True)
    assert violation.remedy == "Remove securityContext.privileged."


def test_what_was_rendered_for_another_environment_is_denied(place: Place) -> None:
    report = anyio.run(judge.run, place(Environment.STAGING), written(Objects()))
    assert {violation.id for violation in report.violations} == {"KD-LBL-002"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a: [", "expected the node content"),
        (b"kind: A\nkind: B\n", "the key 'kind' is given twice"),
        (b"kind: A\n---\n- 1\n", "document 2 is no object"),
        (b"kind: A\nx: .nan\n", "document 1 is no object"),
        (b"kind: A\n---\n", "document 2 is no object"),
        (b"1: A\n", "the key '1' is no text"),
        (b"\xff\xff", ""),
    ],
)
def test_what_cannot_be_read_is_no_yes(place: Place, data: bytes, words: str) -> None:
    with pytest.raises(EnvironmentFailed, match="The Kubernetes objects cannot be read") as failed:
        anyio.run(judge.run, place(), data)
    assert words in str(failed.value)


def test_nothing_is_denied(place: Place) -> None:
    report = anyio.run(judge.run, place(), b"")
    assert {violation.id for violation in report.violations} == {"KD-OBJ-001"}


def test_own_data_and_own_rules_are_laid_over_ours(place: Place, tmp_path: Path) -> None:
    own = tmp_path / "own"
    (own / "data").mkdir(parents=True)
    (own / "data" / "prod.yaml").write_text("deployment: {registries: [registry.bank.example]}\n")
    objects = written(Objects())
    report = anyio.run(judge.run, place(policies=own), objects)
    assert {violation.id for violation in report.violations} == {"KD-IMG-002"}
    moved = objects.replace(IMAGE.encode(), f"registry.bank.example/x@{DIGEST}".encode())
    assert anyio.run(judge.run, place(policies=own), moved).outcome is Outcome.PASSED
    (own / "names.rego").write_text(
        "package mlifecycle.extensions.deployment.names\n"
        'violations contains {"id": "OWN-001", "level": "deny", "path": "x", "actual": 1, '
        '"expected": "y"} if count(input.objects) == 9\n'
    )
    report = anyio.run(judge.run, place(policies=own), moved)
    assert {violation.id for violation in report.violations} == {"OWN-001"}
