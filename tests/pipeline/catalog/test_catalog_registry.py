"""What the catalog records in MLflow, and what it says afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from pipeline.catalog import connection
from pipeline.catalog.registry import MlflowCatalog
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed
from pipeline.state import State

NAME = ("fraud-detector", "payments-risk")
LOCAL, DEV, PROD = Environment.LOCAL, Environment.DEV, Environment.PROD


def release(number: int) -> str:
    return f"sha256:{number:064x}"


def client_of(catalog: MlflowCatalog) -> MlflowClient:
    return connection.connect(catalog.address)


def test_mlflow_shows_version_alias_tags_and_metrics(catalog: MlflowCatalog, tell: Any) -> None:
    event = tell(1)
    catalog.register(event)
    client = client_of(catalog)
    version = client.get_model_version_by_alias("payments-risk.fraud-detector", "local")
    assert version.tags == {
        "mlifecycle.release": event.release,
        "mlifecycle.version": "1.0.0",
        "mlifecycle.run": "run-1",
        "mlifecycle.verdict": event.verdict,
        "mlifecycle.metrics": json.dumps(event.metrics),
        "mlifecycle.digest.manifest": event.digests["manifest"],
        "mlifecycle.digest.model": event.digests["model"],
        "mlifecycle.digest.policy": event.digests["policy"],
    }
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == event.metrics
    assert run.data.tags["mlifecycle.kind"] == "deploy"
    assert run.data.tags["mlifecycle.environment"] == "local"
    experiment = client.get_experiment_by_name("mlifecycle/payments-risk/fraud-detector")
    assert experiment.experiment_id == run.info.experiment_id


def test_a_rollback_moves_the_alias_back(catalog: MlflowCatalog, tell: Any) -> None:
    catalog.register(tell(1))
    catalog.register(tell(2, version="1.1.0", release=release(2)))
    catalog.register(tell(3, kind="rollback"))
    serving = catalog.serving(*NAME, LOCAL)
    assert serving is not None
    assert (serving.version, serving.release, serving.run) == ("1.0.0", release(1), "run-3")
    alias = client_of(catalog).get_registered_model("payments-risk.fraud-detector").aliases
    assert alias == {"local": 1}
    assert [event.kind for event in catalog.history(*NAME)] == ["rollback", "deploy", "deploy"]


def test_a_stop_removes_the_alias_and_keeps_the_history(catalog: MlflowCatalog, tell: Any) -> None:
    catalog.register(tell(1))
    catalog.register(tell(2, environment="dev"))
    catalog.register(tell(3, kind="stop"))
    assert catalog.serving(*NAME, LOCAL) is None
    assert catalog.serving(*NAME, DEV) is not None
    aliases = client_of(catalog).get_registered_model("payments-risk.fraud-detector").aliases
    assert aliases == {"dev": 1}
    assert [event.run for event in catalog.history(*NAME, LOCAL)] == ["run-3", "run-1"]
    assert [event.run for event in catalog.history(*NAME, DEV)] == ["run-2"]


def test_telling_twice_changes_nothing(catalog: MlflowCatalog, state: State, tell: Any) -> None:
    catalog.register(tell(1))
    (state.root / "catalog-cache.json").unlink()
    before = (state.root / "catalog.db").read_bytes()
    catalog.register(tell(1))
    assert (state.root / "catalog.db").read_bytes() == before
    assert len(catalog.history(*NAME)) == 1


def test_a_model_deleted_in_mlflow_is_entered_again(catalog: MlflowCatalog, tell: Any) -> None:
    catalog.register(tell(1))
    client_of(catalog).delete_registered_model("payments-risk.fraud-detector")
    assert catalog.serving(*NAME, LOCAL) is None
    catalog.register(tell(1))
    serving = catalog.serving(*NAME, LOCAL)
    assert serving is not None
    assert serving.run == "run-1"


def test_an_alias_moved_by_hand_is_put_back(catalog: MlflowCatalog, tell: Any) -> None:
    catalog.register(tell(1))
    catalog.register(tell(2, version="1.1.0", release=release(2)))
    client = client_of(catalog)
    client.set_registered_model_alias("payments-risk.fraud-detector", "local", "1")
    serving = catalog.serving(*NAME, LOCAL)
    assert serving is not None
    assert serving.version == "1.1.0"
    catalog.register(tell(2, version="1.1.0", release=release(2)))
    assert client.get_registered_model("payments-risk.fraud-detector").aliases == {"local": 2}


def test_a_history_deleted_in_mlflow_is_named(catalog: MlflowCatalog, tell: Any) -> None:
    catalog.register(tell(1))
    client = client_of(catalog)
    experiment = client.get_experiment_by_name("mlifecycle/payments-risk/fraud-detector")
    client.delete_experiment(experiment.experiment_id)
    with pytest.raises(EnvironmentFailed, match="mlflow experiments restore -x"):
        catalog.register(tell(2))


@pytest.mark.parametrize("content", ["", "[]", '{"event": "x"}'])
def test_an_entry_spoilt_by_hand_is_named(catalog: MlflowCatalog, tell: Any, content: str) -> None:
    catalog.register(tell(1))
    client = client_of(catalog)
    client.set_registered_model_tag("payments-risk.fraud-detector", "mlifecycle.local", content)
    with pytest.raises(EnvironmentFailed, match=r"mlifecycle\.local of payments-risk\.fraud"):
        catalog.serving(*NAME, LOCAL)


def test_an_event_spoilt_by_hand_is_named(catalog: MlflowCatalog, tell: Any) -> None:
    catalog.register(tell(1))
    client = client_of(catalog)
    version = client.get_model_version("payments-risk.fraud-detector", "1")
    client.set_tag(version.run_id, "mlifecycle.event", "{}")
    with pytest.raises(EnvironmentFailed, match=f"MLflow run {version.run_id}"):
        catalog.history(*NAME)


def test_what_others_keep_in_mlflow_is_left_alone(catalog: MlflowCatalog, tell: Any) -> None:
    catalog.register(tell(1))
    client = client_of(catalog)
    client.create_model_version("payments-risk.fraud-detector", source="s3://other/model")
    client.create_registered_model("somebody-elses")
    experiment = client.get_experiment_by_name("mlifecycle/payments-risk/fraud-detector")
    client.create_run(experiment.experiment_id)
    assert [v.number for v in catalog.versions(*NAME)] == [1]
    assert len(catalog.history(*NAME)) == 1
    assert len(catalog.in_service()) == 1


def test_more_events_than_one_page_are_all_found(
    catalog: MlflowCatalog, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.catalog.entries.PAGE", 2)
    for run in range(1, 6):
        catalog.register(tell(run, version=f"1.{run}.0", release=release(run)))
        catalog.register(tell(run + 10, name=f"other-{run}"))
    assert [event.run for event in catalog.history(*NAME)] == [f"run-{n}" for n in (5, 4, 3, 2, 1)]
    assert [version.number for version in catalog.versions(*NAME)] == [5, 4, 3, 2, 1]
    assert len(catalog.in_service()) == 6


def test_a_first_catalog_is_made_whole_and_touches_no_other_folder(
    tmp_path: Path, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    state = State(tmp_path / "a state of 100%")
    (state.root).mkdir()
    (state.root / "catalog.db.new").write_text("left by a kill")
    catalog = MlflowCatalog(state)
    assert catalog.serving(*NAME, LOCAL) is None
    assert catalog.history(*NAME) == []
    assert catalog.in_service() == []
    catalog.register(tell(1))
    assert catalog.serving(*NAME, LOCAL) is not None
    assert list(elsewhere.iterdir()) == []
    left = sorted(path.name for path in state.root.iterdir())
    assert left == ["catalog-cache.json", "catalog.db", "catalog.lock"]
