"""What a release must show before it gets traffic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from process_harness import deploy

from pipeline import manifest
from pipeline.targets.interface import Reply
from pipeline.targets.verify import (
    REQUESTS,
    Expectations,
    Golden,
    Measured,
    golden,
    identity,
    judged,
    load,
    percentile,
    verify,
)

pytestmark = pytest.mark.anyio

PURCHASE = Golden("purchase", {"amount": 12.5}, "legitimate", {"legitimate": 0.97, "fraud": 0.03})


class Answers:
    """A server that gives these answers in turn, the last one for ever."""

    def __init__(self, *replies: Any) -> None:
        self._replies = list(replies)

    async def get(self, path: str) -> Reply:
        return self._next()

    async def post(self, path: str, body: Any) -> Reply:
        return self._next()

    def _next(self) -> Reply:
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if isinstance(reply, OSError):
            raise reply
        return reply


def reply(document: Any, status: int = 200, seconds: float = 0.001) -> Reply:
    return Reply(status, json.dumps(document).encode(), seconds)


def predicted(prediction: str = "legitimate", **probabilities: float) -> dict[str, Any]:
    given = {"legitimate": 0.97, "fraud": 0.03} | probabilities
    return {"predictions": [{"prediction": prediction, "probabilities": given}]}


async def test_the_expected_answer_passes():
    assert await golden(Answers(reply(predicted(legitimate=0.9705))), (PURCHASE,)) == []


@pytest.mark.parametrize(
    ("answer", "rule", "actual"),
    [
        (reply(predicted("fraud")), "VF-GLD-001", "fraud"),
        (reply(predicted(fraud=0.032)), "VF-GLD-002", 0.032),
        (reply({"predictions": []}), "VF-GLD-003", None),
        (reply(predicted(), status=500), "VF-GLD-003", None),
        (reply([]), "VF-GLD-003", None),
        (Reply(200, b"<html>", 0.0), "VF-GLD-003", None),
        (ConnectionResetError("gone"), "VF-GLD-003", None),
    ],
)
async def test_any_other_answer_does_not(answer, rule, actual):
    (violation,) = await golden(Answers(answer), (PURCHASE,))
    assert violation.id == rule
    assert actual is None or violation.actual == actual
    assert "purchase" in violation.path
    assert violation.remedy


async def test_a_probability_that_is_no_number_or_absent_does_not_pass():
    nan = Reply(200, json.dumps(predicted(fraud=float("nan"))).encode(), 0.0)
    absent = reply({"predictions": [{"prediction": "legitimate", "probabilities": {}}]})
    assert [v.id for v in await golden(Answers(nan), (PURCHASE,))] == ["VF-GLD-002"]
    assert [v.id for v in await golden(Answers(absent), (PURCHASE,))] == ["VF-GLD-002"] * 2


async def test_the_tolerance_is_the_manifests():
    wide = Golden("wide", {}, "legitimate", {"fraud": 0.03}, tolerance=0.01)
    assert await golden(Answers(reply(predicted(fraud=0.039))), (wide,)) == []
    assert await golden(Answers(reply(predicted(fraud=0.041))), (wide,)) != []


async def test_another_release_than_the_one_that_was_built_is_noticed():
    assert await identity(Answers(reply({"release": "sha256:a"})), "sha256:a") == []
    for answer in (reply({"release": "sha256:b"}), reply({}), reply([]), ConnectionError()):
        (violation,) = await identity(Answers(answer), "sha256:a")
        assert violation.id == "VF-IDN-001"


async def test_a_load_counts_failures_and_measures_what_was_answered():
    answers = Answers(
        reply({}, seconds=0.5), ConnectionError(), reply({}, status=503), reply({}, seconds=0.002)
    )
    measured = await load(answers, [{"amount": 1.0}])
    assert (measured.requests, measured.failed) == (REQUESTS, 2)
    assert (measured.p50, measured.p99) == (0.002, 0.5)


async def test_one_slow_answer_in_a_hundred_does_not_decide():
    measured = await load(Answers(reply({}, seconds=0.5), reply({}, seconds=0.002)), [{}])
    assert measured.p99 == 0.002


@pytest.mark.parametrize(
    ("measured", "limits", "rules"),
    [
        (Measured(100, 5, 0.01, 0.25), (0.05, 0.25), []),
        (Measured(100, 6, 0.01, 0.25), (0.05, 0.25), ["VF-ERR-001"]),
        (Measured(100, 5, 0.01, 0.26), (0.05, 0.25), ["VF-LAT-001"]),
        (Measured(100, 100, None, None), (0.05, 0.25), ["VF-ERR-001", "VF-LAT-001"]),
        (Measured(100, 100, 9.0, 9.0), (None, None), []),
    ],
)
def test_the_limits_of_the_rollback_triggers_judge_the_load(measured, limits, rules):
    found = judged(measured, Expectations((PURCHASE,), *limits))
    assert [violation.id for violation in found] == rules


def test_percentiles_are_by_nearest_rank():
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.50), percentile(values, 0.99)) == (50.0, 99.0)
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([], 0.99) is None


def test_the_manifest_says_what_is_expected():
    example = Path(__file__).parents[3] / "examples" / "valid" / "model-manifest.yaml"
    loaded = manifest.load(example)
    expected = Expectations.of(loaded)
    written = loaded.document["spec"]["inference"]["golden_inputs"]
    assert [entry.name for entry in expected.golden] == [entry["name"] for entry in written]
    assert expected.golden[0].instance == written[0]["instance"]
    triggers = loaded.document["spec"]["rollback"]["triggers"]
    assert expected.error_rate == triggers["error_rate"]["threshold"]
    assert expected.latency_p99 == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("behaviour", "rule"),
    [
        ({"prediction": "fraud"}, "VF-GLD-001"),
        ({"mode": "errors"}, "VF-ERR-001"),
        ({"seconds": 0.15}, "VF-LAT-001"),
    ],
)
async def test_a_release_that_serves_badly_is_found_out_and_the_old_one_stays(
    target, release, behaviour, rule, monkeypatch
):
    monkeypatch.setattr("pipeline.targets.verify.LONGEST", 1.0)
    expectations = Expectations((PURCHASE,), error_rate=0.05, latency_p99=0.1)
    await deploy(target, release("1.0.0"))
    bad = release("2.0.0", **behaviour)
    async with await target.start(bad) as candidate:
        await candidate.ready(20)
        found = await verify(candidate.client, expectations, bad.digest)
    assert rule in {violation.id for violation in found.violations}
    served = await target.current()
    assert (served.version, served.healthy) == ("1.0.0", True)


async def test_a_release_that_serves_well_passes(target, release):
    good = release("1.0.0")
    async with await target.start(good) as candidate:
        await candidate.ready(20)
        found = await verify(candidate.client, Expectations((PURCHASE,), 0.0, 5.0), good.digest)
        assert found.violations == ()
        assert (found.measured.requests, found.measured.failed) == (REQUESTS, 0)
        without = await verify(candidate.client, Expectations((PURCHASE,)), good.digest)
        assert without.measured is None
