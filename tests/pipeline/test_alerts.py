"""Rules and dashboard of a manifest. What Prometheus makes of them is tested with the real one in
tests/system/test_monitoring.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from pipeline import manifest as manifests
from pipeline.kubernetes import alerts, dashboard
from pipeline.manifest import ModelDeployment
from pipeline.manifest.monitoring import Within
from pipeline.manifest.values import seconds
from serving.metrics.metrics import SECONDS

EXAMPLE = Path(__file__).parents[2] / "examples" / "valid" / "model-manifest.yaml"
Load = Callable[..., ModelDeployment]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """The example's model, with changes to its `spec.monitoring`."""

    def make(**changes: Any) -> ModelDeployment:
        document = yaml.safe_load(EXAMPLE.read_text())
        document["spec"]["monitoring"].update(changes)
        path = tmp_path / "model-manifest.yaml"
        path.write_text(json.dumps(document, default=str))
        return manifests.load(path).model

    return make


def rules(model: ModelDeployment) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for group in alerts.groups(model):
        for rule in group["rules"]:
            found.setdefault(rule.get("alert") or rule["record"], []).append(rule)
    return found


def test_every_alert_of_the_manifest_is_a_rule_with_its_threshold(load: Load) -> None:
    found = rules(load())
    assert found["HighErrorRate"][0]["expr"].endswith("[5m])) > 0.05")
    assert found["SlowAnswers"][0]["expr"].endswith("> 0.25")
    assert "[1h]" in found["InputDrift"][0]["expr"]
    assert found["HighErrorRate"][0]["labels"] == {
        "severity": "critical",
        "namespace": "payments-risk",
        "model": "fraud-detector",
        "team": "payments-risk",
    }


def test_every_query_is_about_this_model_alone(load: Load) -> None:
    ours = 'namespace="payments-risk",'
    found = rules(load())
    for rule in [rule for several in found.values() for rule in several]:
        assert rule["expr"].count("{") == rule["expr"].count("{" + ours)


def test_budgets_burn_by_what_the_objectives_leave(load: Load) -> None:
    found = rules(load(objectives={"availability": 0.99}))
    fast, slow, *tickets = found["AvailabilityBudgetBurns"]
    assert fast["expr"].count("> 0.144") == 2
    assert slow["expr"].count("> 0.06") == 2
    assert [rule["labels"]["severity"] for rule in (fast, slow, *tickets)] == [
        *("critical", "critical", "warning", "warning"),
    ]
    assert "LatencyBudgetBurns" not in found


def test_a_budget_of_half_the_requests_still_has_an_alert(load: Load) -> None:
    found = rules(load(objectives={"availability": 0.5}))
    assert "> 0.999" in found["AvailabilityBudgetBurns"][0]["expr"]


def test_what_burns_is_recorded(load: Load) -> None:
    found = rules(load())
    for several in (found["AvailabilityBudgetBurns"], found["LatencyBudgetBurns"]):
        for rule in several:
            recorded = [part.partition("{")[0] for part in rule["expr"].split(" and ")]
            assert set(recorded) <= set(found)


def test_without_objectives_nothing_burns(load: Load) -> None:
    model = load()
    assert model.spec.monitoring is not None
    bare = model.spec.monitoring.model_copy(update={"objectives": None})
    spec = model.spec.model_copy(update={"monitoring": bare})
    names = set(rules(model.model_copy(update={"spec": spec})))
    assert not [name for name in names if "Budget" in name or name.startswith("mlifecycle:")]
    assert {"ModelWithoutServers", "HighErrorRate", "FeatureDrift"} <= names


@pytest.mark.parametrize("within", get_args(Within))
def test_a_promise_s_time_is_one_that_the_server_counts_by(within: str) -> None:
    assert seconds(within) in SECONDS


@pytest.mark.parametrize(("within", "bound"), [("250ms", "0[.]25"), ("1s", "1([.]0)?")])
def test_a_bound_is_found_however_prometheus_writes_it(load: Load, within: str, bound: str) -> None:
    found = rules(load(objectives={"latency": {"within": within, "share": 0.9}}))
    (rule,) = found["mlifecycle:requests_slow:ratio_rate5m"]
    assert f'le=~"{bound}"' in rule["expr"]


def test_a_dashboard_is_its_model_s(load: Load) -> None:
    found = dashboard.document(load())
    assert found["title"] == "Model payments-risk/fraud-detector"
    assert len(found["uid"]) <= 40
    queries = [target["expr"] for panel in found["panels"] for target in panel["targets"]]
    assert all('service="fraud-detector"' in query for query in queries)
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])


def test_drift_is_shown_where_it_is_measured(load: Load) -> None:
    def titles(model: ModelDeployment) -> set[str]:
        return {panel["title"] for panel in dashboard.document(model)["panels"]}

    quiet = load(drift_detection={"enabled": False}, alerts=[])
    assert "Drift of inputs" in titles(load())
    assert "Drift of inputs" not in titles(quiet)
    assert "FeatureDrift" not in rules(quiet)
