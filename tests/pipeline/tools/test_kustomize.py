"""kustomize: either every object that it was asked for, or its own reason why there are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.runtimes.interface import Outcome
from pipeline.tools import kustomize
from pipeline.tools.interface import NoResult

Recorded = Callable[[str, str], Outcome]


def test_the_objects_are_handed_on_as_they_were_written(outcome: Recorded) -> None:
    recorded = outcome("kustomize", "objects")
    assert kustomize.objects(recorded) == (recorded.files[kustomize.OBJECTS], 9)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("missing-base", "no such file or directory"),
        ("unknown-field", '^invalid Kustomization: json: unknown field "resource"$'),
        ("broken", "^accumulating resources: .* did not find expected node content"),
        ("nothing", "^it wrote no objects$"),
    ],
)
def test_a_failure_is_told_in_its_own_words(outcome: Recorded, case: str, words: str) -> None:
    with pytest.raises(NoResult, match=words):
        kustomize.objects(outcome("kustomize", case))


def test_of_a_long_reason_the_end_is_told() -> None:
    with pytest.raises(NoResult) as raised:
        kustomize.objects(Outcome(1, "", f"Error: {'because ' * 100}of this"))
    assert str(raised.value).endswith("because of this")
    assert len(str(raised.value)) < 410


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(0, "", ""),
        Outcome(1, "", ""),
        Outcome(0, "", "", {kustomize.OBJECTS: b"a: ["}),
        Outcome(0, "", "", {kustomize.OBJECTS: b"a: b\n"}),
        Outcome(0, "", "", {kustomize.OBJECTS: b"kind: Service\n---\n- a\n"}),
        Outcome(0, "", "", {kustomize.OBJECTS: b"kind: Service\n"}, timed_out=True),
    ],
)
def test_what_are_no_objects_is_no_result(outcome: Outcome) -> None:
    with pytest.raises(NoResult, match=r"\w"):
        kustomize.objects(outcome)


def test_the_call_builds_without_the_network() -> None:
    call = kustomize.build({"model": Path("somewhere")}, "model")
    assert call.arguments == ("build", "model", "--output", "objects.yaml")
    assert call.outputs == ("objects.yaml",)
    assert not call.network
