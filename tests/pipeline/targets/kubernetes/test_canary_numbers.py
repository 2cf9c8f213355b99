from __future__ import annotations

import math

import pytest

from pipeline.targets.kubernetes.canary import Counted, beside, judged
from pipeline.targets.verify import Expectations

LIMITS = Expectations(golden=(), error_rate=0.05, latency_p99=0.25)


def counted(requests: float = 200, failed: float = 0, p99: float = 0.01) -> Counted:
    bounds = (0.01, 0.1, 0.2, 0.5, math.inf)
    return Counted(requests, failed, {b: requests if b >= p99 else 0.0 for b in bounds})


def ids(canary: Counted, old: Counted, limits: Expectations = LIMITS) -> list[str]:
    return [violation.id for violation in judged(canary, old, limits)]


def test_metrics_are_added_up_over_servers_and_other_routes_left_out() -> None:
    text = (
        "# HELP mlifecycle_requests_total Requests.\n"
        'mlifecycle_requests_total{route="predict",status="200"} 90.0\n'
        'mlifecycle_requests_total{route="predict",status="500"} 10.0\n'
        'mlifecycle_requests_total{route="health",status="500"} 7.0\n'
        'mlifecycle_request_duration_seconds_bucket{route="predict",le="0.1"} 98.0\n'
        'mlifecycle_request_duration_seconds_bucket{route="predict",le="1.0"} 99.0\n'
        'mlifecycle_request_duration_seconds_bucket{route="predict",le="+Inf"} 100.0\n'
    )
    found = Counted.read([text, text])
    assert (found.requests, found.failed) == (200, 20)
    assert found.error_rate == 0.1
    assert found.p99 == 1.0
    assert found.since(Counted.read([text])).requests == 100


def test_a_canary_as_good_as_the_old_version_is_promoted() -> None:
    assert ids(counted(), counted()) == []
    assert ids(counted(failed=2), counted()) == []


@pytest.mark.parametrize(
    ("canary", "old"),
    [
        (counted(requests=0), counted()),
        (counted(), counted(requests=0)),
        (counted(requests=19), counted()),
        (Counted.read([]), Counted.read([])),
        (Counted.read(["no metrics here"]), counted()),
        (counted(requests=math.nan), counted()),
    ],
)
def test_numbers_that_are_missing_promote_nothing(canary: Counted, old: Counted) -> None:
    assert ids(canary, old) == ["CN-CNT-001"]


def test_a_canary_that_answers_without_times_is_not_promoted() -> None:
    assert ids(Counted(200, 0, {}), counted()) == ["CN-LAT-001"]


def test_more_failures_than_the_old_version_s_or_the_trigger_s_are_a_no() -> None:
    assert ids(counted(failed=3), counted()) == ["CN-ERR-001"]
    assert ids(counted(failed=3), counted(failed=2)) == []
    assert ids(counted(failed=12), counted(failed=12)) == ["CN-ERR-001"]


def test_a_slower_canary_is_a_no_if_anybody_would_notice() -> None:
    assert ids(counted(p99=0.5), counted(p99=0.1)) == ["CN-LAT-001"]
    assert ids(counted(p99=0.2), counted(p99=0.1)) == []
    assert ids(counted(p99=0.1), counted(p99=0.01)) == ["CN-LAT-001"]
    # Slow as the old one: the canary is not to blame.
    assert ids(counted(p99=0.5), counted(p99=0.5)) == []
    assert ids(counted(p99=math.inf), counted(p99=0.2)) == ["CN-LAT-001"]


def test_the_second_deployment_has_a_label_of_its_own_and_changes_nothing_of_the_first() -> None:
    labels = {"app.kubernetes.io/name": "model"}
    deployment = {
        "metadata": {"name": "model"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": dict(labels)}},
        },
    }
    found = beside(deployment, 2)
    assert found["metadata"]["name"] == "model-canary"
    assert found["spec"]["replicas"] == 2
    marked = labels | {"mlifecycle.io/track": "canary"}
    assert found["spec"]["selector"]["matchLabels"] == marked
    assert found["spec"]["template"]["metadata"]["labels"] == marked
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert deployment["metadata"]["name"] == "model"
