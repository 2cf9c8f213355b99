"""A catalog in a temporary folder. Making MLflow's tables takes seconds, so they are made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.catalog import address, connection
from pipeline.catalog.interface import Event
from pipeline.catalog.registry import MlflowCatalog
from pipeline.state import State

BEGAN = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)

Tell = Callable[..., Event]


@pytest.fixture(autouse=True)
def _no_foreign_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as the catalog itself makes it, with MLflow's tables and nothing in them."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        connection.connect(address.resolve(folder))
    return folder / "catalog.db"


@pytest.fixture
def state(tmp_path: Path, template: Path) -> State:
    folder = tmp_path / "state"
    folder.mkdir()
    shutil.copyfile(template, folder / "catalog.db")
    return State(folder)


@pytest.fixture
def catalog(state: State) -> MlflowCatalog:
    return MlflowCatalog(state)


def release(number: int) -> str:
    return f"sha256:{number:064x}"


@pytest.fixture
def tell() -> Tell:
    """Make an event; `run` numbers both the run and, unless told otherwise, the instant."""

    def make(run: int = 1, **facts: Any) -> Event:
        defaults: dict[str, Any] = {
            "kind": "deploy",
            "name": "fraud-detector",
            "namespace": "payments-risk",
            "version": "1.0.0",
            "environment": "local",
            "release": release(1),
            "metrics": {"accuracy": 0.95, "f1_score": 0.1 + 0.2},
            "run": f"run-{run}",
            "verdict": release(100),
            "digests": {"manifest": release(11), "model": release(12), "policy": release(13)},
            "at": BEGAN + timedelta(minutes=run, microseconds=run),
        }
        return Event.model_validate(defaults | facts)

    return make
