"""Answers without MLflow while the database is unchanged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from pipeline.catalog import connection
from pipeline.catalog.cache import Cache
from pipeline.catalog.registry import MlflowCatalog
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed
from pipeline.state import State

NAME = ("fraud-detector", "payments-risk")
LOCAL = Environment.LOCAL
NUMBER = TypeAdapter(int)

READ = """
import sys
from pathlib import Path
from pipeline.catalog.registry import MlflowCatalog
from pipeline.environment import Environment
from pipeline.state import State
catalog = MlflowCatalog(State(Path(sys.argv[1])))
serving = catalog.serving("fraud-detector", "payments-risk", Environment.LOCAL)
history = catalog.history("fraud-detector", "payments-risk")
listed = catalog.in_service()
for heavy in ("mlflow", "sqlalchemy", "alembic"):
    assert heavy not in sys.modules, heavy
print(serving.run if serving else None, len(history), len(listed))
"""


def read_in_new_process(state: State) -> str:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(state.root)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def forbidden(*_: Any) -> Any:
    raise AssertionError("MLflow was opened")


def test_after_an_event_a_new_command_reads_without_mlflow(
    catalog: MlflowCatalog, state: State, tell: Any
) -> None:
    catalog.register(tell(1))
    catalog.register(tell(2))
    assert read_in_new_process(state) == "run-2 2 1"


def test_without_a_database_nothing_serves_and_mlflow_stays_out(tmp_path: Path) -> None:
    assert read_in_new_process(State(tmp_path)) == "None 0 0"
    assert list(tmp_path.iterdir()) == []


def test_telling_the_last_event_again_needs_no_mlflow(
    catalog: MlflowCatalog, state: State, tell: Any
) -> None:
    catalog.register(tell(1))
    MlflowCatalog(state, connect=forbidden).register(tell(1))


def test_other_models_events_cost_no_model_its_answers(
    catalog: MlflowCatalog, state: State, tell: Any
) -> None:
    catalog.register(tell(1))
    catalog.register(tell(2, name="wine-quality"))
    blind = MlflowCatalog(state, connect=forbidden)
    serving = blind.serving(*NAME, LOCAL)
    assert serving is not None
    assert serving.run == "run-1"
    blind.register(tell(1))
    with pytest.raises(EnvironmentFailed, match="MLflow was opened"):
        blind.register(tell(3))


def test_a_changed_database_is_noticed(catalog: MlflowCatalog, state: State, tell: Any) -> None:
    catalog.register(tell(1))
    assert catalog.serving(*NAME, LOCAL) is not None
    model = "payments-risk.fraud-detector"
    connection.connect(catalog.address).delete_registered_model_tag(model, "mlifecycle.local")
    assert catalog.serving(*NAME, LOCAL) is None
    with pytest.raises(EnvironmentFailed, match="MLflow was opened"):
        MlflowCatalog(state, connect=forbidden).history(*NAME)


def test_a_database_removed_is_noticed(catalog: MlflowCatalog, state: State, tell: Any) -> None:
    catalog.register(tell(1))
    (state.root / "catalog.db").unlink()
    assert MlflowCatalog(state, connect=forbidden).serving(*NAME, LOCAL) is None


@pytest.mark.parametrize(
    "content", ["", "nonsense", "[]", "{}", '{"format": 1, "database": 3, "answers": []}']
)
def test_a_spoilt_cache_is_no_answer(
    catalog: MlflowCatalog, state: State, tell: Any, content: str
) -> None:
    catalog.register(tell(1))
    (state.root / "catalog-cache.json").write_text(content)
    serving = catalog.serving(*NAME, LOCAL)
    assert serving is not None
    assert serving.run == "run-1"


def test_an_answer_of_another_format_is_no_answer(tmp_path: Path) -> None:
    database = tmp_path / "catalog.db"
    database.write_bytes(b"one")
    cache = Cache(tmp_path / "cache.json", database)
    cache.put("key", NUMBER, 1, cache.content())
    document = json.loads(cache.path.read_text())
    cache.path.write_text(json.dumps(document | {"format": 2}))
    assert cache.get("key", NUMBER) is None
    cache.path.write_text(json.dumps(document | {"answers": {"key": {"one": 1}}}))
    assert cache.get("key", NUMBER) is None
    cache.path.write_text(json.dumps(document))
    assert cache.get("key", NUMBER) == 1


def test_nothing_that_serves_is_an_answer_too(
    catalog: MlflowCatalog, state: State, tell: Any
) -> None:
    catalog.register(tell(1))
    catalog.register(tell(2, kind="stop"))
    blind = MlflowCatalog(state, connect=forbidden)
    assert blind.serving(*NAME, LOCAL) is None
    blind.register(tell(2, kind="stop"))


def test_an_answer_read_while_the_database_changed_is_not_kept(tmp_path: Path) -> None:
    database = tmp_path / "catalog.db"
    database.write_bytes(b"one")
    cache = Cache(tmp_path / "cache.json", database)
    before = cache.content()
    database.write_bytes(b"two")
    cache.put("key", NUMBER, 1, before)
    assert cache.get("key", NUMBER) is None
    cache.put("key", NUMBER, 2, cache.content())
    assert cache.get("key", NUMBER) == 2


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_what_is_only_in_the_log_counts(tmp_path: Path, suffix: str) -> None:
    database = tmp_path / "catalog.db"
    database.write_bytes(b"one")
    cache = Cache(tmp_path / "cache.json", database)
    cache.put("key", NUMBER, 1, cache.content())
    log = Path(f"{database}{suffix}")
    log.write_bytes(b"")
    assert cache.get("key", NUMBER) == 1
    log.write_bytes(b"more")
    assert cache.get("key", NUMBER) is None


def test_a_cache_that_cannot_be_written_costs_no_answer(
    catalog: MlflowCatalog, state: State, tell: Any
) -> None:
    (state.root / "catalog-cache.json").mkdir()
    catalog.register(tell(1))
    assert catalog.serving(*NAME, LOCAL) is not None


def test_other_stores_are_not_cached(
    catalog: MlflowCatalog, state: State, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.register(tell(1))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(EnvironmentFailed, match="MLflow was opened"):
        MlflowCatalog(state, connect=forbidden).serving(*NAME, LOCAL)


def test_another_sqlite_file_is_cached_by_its_own_content(
    catalog: MlflowCatalog,
    state: State,
    tmp_path: Path,
    template: Path,
    tell: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog.register(tell(1))
    other = tmp_path / "other.db"
    shutil.copyfile(template, other)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")
    assert MlflowCatalog(state).serving(*NAME, LOCAL) is None
    assert MlflowCatalog(state, connect=forbidden).serving(*NAME, LOCAL) is None
