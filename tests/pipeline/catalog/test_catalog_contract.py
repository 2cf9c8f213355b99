"""What every catalog promises: the one on MLflow, and the one that asks it through the program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import remotely

from pipeline.catalog.interface import Catalog, bound_release
from pipeline.catalog.registry import MlflowCatalog
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed
from pipeline.state import State

NAME = ("fraud-detector", "payments-risk")
LOCAL, DEV, PROD = Environment.LOCAL, Environment.DEV, Environment.PROD


@pytest.fixture(params=["mlflow", "program"])
def catalog(request: pytest.FixtureRequest, state: State, tmp_path: Path) -> Catalog:
    if request.param == "mlflow":
        return MlflowCatalog(state)
    return remotely.asking(remotely.here(state.root, tmp_path))


def release(number: int) -> str:
    return f"sha256:{number:064x}"


def test_what_was_deployed_serves_with_all_its_facts(catalog: Catalog, tell: Any) -> None:
    event = tell(1)
    catalog.register(event)
    serving = catalog.serving(*NAME, LOCAL)
    assert serving == event.serving
    assert serving is not None
    assert serving.since == event.at
    assert serving.metrics == {"accuracy": 0.95, "f1_score": 0.1 + 0.2}
    assert catalog.history(*NAME) == [event]


def test_an_unknown_model_or_environment_serves_nothing(catalog: Catalog, tell: Any) -> None:
    assert catalog.serving(*NAME, LOCAL) is None
    assert catalog.history(*NAME) == []
    assert catalog.versions(*NAME) == []
    catalog.register(tell(1))
    assert catalog.serving(*NAME, PROD) is None
    assert catalog.serving("fraud-detector", "another-team", LOCAL) is None


def test_one_release_is_one_version_however_often_deployed(catalog: Catalog, tell: Any) -> None:
    catalog.register(tell(1))
    catalog.register(tell(2, environment="dev"))
    catalog.register(tell(3, version="1.0.1", release=release(2)))
    catalog.register(tell(4))
    assert [(v.number, v.version, v.release) for v in catalog.versions(*NAME)] == [
        (2, "1.0.1", release(2)),
        (1, "1.0.0", release(1)),
    ]
    assert len(catalog.history(*NAME)) == 4


def test_all_that_serves_is_listed(catalog: Catalog, tell: Any) -> None:
    catalog.register(tell(1, environment="prod"))
    catalog.register(tell(2, name="wine-quality", namespace="cellar"))
    catalog.register(tell(3, name="stopped"))
    catalog.register(tell(4, name="stopped", kind="stop"))
    assert [(s.environment, s.name) for s in catalog.in_service()] == [
        ("local", "wine-quality"),
        ("prod", "fraud-detector"),
    ]
    assert [s.name for s in catalog.in_service(LOCAL)] == ["wine-quality"]


def test_an_old_event_told_again_does_not_move_the_alias(catalog: Catalog, tell: Any) -> None:
    catalog.register(tell(1))
    catalog.register(tell(2, version="1.1.0", release=release(2)))
    catalog.register(tell(1))
    serving = catalog.serving(*NAME, LOCAL)
    assert serving is not None
    assert serving.run == "run-2"


def test_a_clock_that_lags_does_not_keep_a_new_deploy_out(catalog: Catalog, tell: Any) -> None:
    catalog.register(tell(2))
    catalog.register(tell(3, version="1.1.0", release=release(2), at=tell(1).at))
    serving = catalog.serving(*NAME, LOCAL)
    assert serving is not None
    assert serving.run == "run-3"


def test_one_run_cannot_record_two_releases(catalog: Catalog, tell: Any) -> None:
    catalog.register(tell(1))
    with pytest.raises(EnvironmentFailed, match=r"run-1 with release sha256:0+1, not sha256:0+2"):
        catalog.register(tell(1, release=release(2)))


def test_one_run_may_deploy_and_roll_back(catalog: Catalog, tell: Any) -> None:
    catalog.register(tell(1))
    catalog.register(tell(2, version="1.1.0", release=release(2)))
    catalog.register(tell(2, kind="rollback"))
    assert len(catalog.history(*NAME)) == 3
    serving = catalog.serving(*NAME, LOCAL)
    assert serving is not None
    assert serving.release == release(1)


def test_the_longest_event_is_not_cut_off(catalog: Catalog, tell: Any) -> None:
    metrics = {f"{number:0>64}": -1.2345678901234567e-300 for number in range(32)}
    digests = {f"{number:0>64}": release(number) for number in range(16)}
    event = tell(
        1, name="a" * 63, namespace="b" * 63, version="1" * 128, metrics=metrics, digests=digests
    )
    catalog.register(event)
    assert catalog.history("a" * 63, "b" * 63) == [event]
    assert catalog.serving("a" * 63, "b" * 63, LOCAL) == event.serving


def test_a_version_binds_its_release_once_it_served_in_staging_or_prod(
    catalog: Catalog, tell: Any
) -> None:
    catalog.register(tell(1, release=release(1)))
    catalog.register(tell(2, release=release(2), environment="dev"))
    assert bound_release(catalog.history(*NAME), "1.0.0") is None
    catalog.register(tell(3, release=release(3), environment="staging"))
    catalog.register(tell(4, release=release(4), environment="local"))
    assert bound_release(catalog.history(*NAME), "1.0.0") == release(3)
    assert bound_release(catalog.history(*NAME), "1.0.1") is None


def test_the_first_release_of_a_version_stays_bound(tell: Any) -> None:
    history = [
        tell(3, release=release(3), environment="prod", kind="stop"),
        tell(2, release=release(2), environment="prod"),
        tell(1, release=release(1), environment="prod"),
    ]
    assert bound_release(history, "1.0.0") == release(1)
    assert bound_release(history[:1], "1.0.0") is None
