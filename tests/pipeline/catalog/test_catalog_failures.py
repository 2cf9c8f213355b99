"""A catalog that cannot be reached or read says so, soon, and without credentials."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.catalog import address
from pipeline.catalog.registry import MlflowCatalog
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed
from pipeline.state import State

NAME = ("fraud-detector", "payments-risk")
LOCAL = Environment.LOCAL
SECRET = "hunter2%40x"  # noqa: S105 - made up; it reads hunter2@x when unquoted


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nothing listens: bound, so that nobody else takes it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def failure(state: State) -> str:
    with pytest.raises(EnvironmentFailed) as caught:
        MlflowCatalog(state).serving(*NAME, LOCAL)
    assert caught.value.remedy
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_not_there(
    tmp_path: Path, closed_port: int, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://me:{SECRET}@127.0.0.1:{closed_port}/x")
    message = failure(State(tmp_path))
    assert f"{scheme}://***@127.0.0.1:{closed_port}" in message


def test_a_server_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        assert "timed out" in failure(State(tmp_path))


def test_mlflow_waits_for_seconds_not_minutes(tmp_path: Path, template: Path) -> None:
    """The limits hold in a process whose caller set none, and telemetry is off."""
    code = (
        "import sys, os\n"
        "from pathlib import Path\n"
        "from pipeline.catalog import address, connection\n"
        "connection.connect(address.resolve(Path(sys.argv[1])))\n"
        "from mlflow import environment_variables as v\n"
        "print(v.MLFLOW_HTTP_REQUEST_TIMEOUT.get(), v.MLFLOW_HTTP_REQUEST_MAX_RETRIES.get(),\n"
        "      v.MLFLOW_DISABLE_TELEMETRY.get())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(template.parent)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.stdout.split() == ["10", "1", "True"]
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_answers_nonsense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<p>\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        port = server.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        assert "failed" in failure(State(tmp_path))
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_an_address_of_no_known_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "carrier-pigeon://me:hunter2@roof")
    message = failure(State(tmp_path))
    assert "carrier-pigeon://***@roof" in message


def test_a_database_driver_that_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"mysql+pymysql://me:x@127.0.0.1:{port}/db")
        assert "needs a package that is not installed: pymysql" in failure(State(tmp_path))


def test_credentials_in_mlflows_own_variables_are_masked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "passw0rd")
    where = address.Address("https://me:s3cret@host")
    said = where.masked("at https://me:s3cret@host with t0ken, passw0rd and s3cret")
    assert said == "at https://***@host with ***, *** and ***"
    assert "s3cret" not in repr(where)


@pytest.mark.parametrize("keep", [0, 100, 4096], ids=["all", "past the header", "past a page"])
def test_a_damaged_database_is_named(state: State, keep: int) -> None:
    database = state.root / "catalog.db"
    content = database.read_bytes()
    database.write_bytes(content[:keep] + b"\xa5" * (len(content) - keep))
    message = failure(state)
    assert f"The catalog {database} is damaged" in message
    assert "move it away" in message


def test_a_truncated_database_is_named(state: State) -> None:
    database = state.root / "catalog.db"
    database.write_bytes(database.read_bytes()[:50_000])
    assert f"The catalog {database} is damaged" in failure(state)


def test_an_empty_file_is_no_catalog_yet(state: State, tell: Any) -> None:
    (state.root / "catalog.db").write_bytes(b"")
    catalog = MlflowCatalog(state)
    assert catalog.serving(*NAME, LOCAL) is None
    catalog.register(tell(1))
    assert catalog.serving(*NAME, LOCAL) is not None


def test_a_folder_in_the_place_of_the_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").mkdir()
    assert f"The catalog {tmp_path / 'catalog.db'} cannot be opened" in failure(State(tmp_path))


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert "in memory" in failure(State(tmp_path))


def test_a_state_folder_that_no_address_can_name_is_refused(tmp_path: Path) -> None:
    assert "contains '?'" in failure(State(tmp_path / "what?"))


def test_mlflows_folder_store_works_for_those_who_allow_it(
    tmp_path: Path, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    catalog = MlflowCatalog(State(tmp_path / "state"))
    for event in (tell(1), tell(2, kind="stop"), tell(3)):
        catalog.register(event)
        catalog.register(event)
    assert len(catalog.history(*NAME)) == 3
    serving = catalog.serving(*NAME, LOCAL)
    assert serving is not None
    assert serving.run == "run-3"
