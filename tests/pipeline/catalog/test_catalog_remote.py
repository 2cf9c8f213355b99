"""The catalog's program, and the catalog that asks it from where MLflow is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import remotely

from pipeline.catalog.__main__ import run
from pipeline.catalog.registry import MlflowCatalog
from pipeline.catalog.remote import Call, Failure
from pipeline.environment import Environment
from pipeline.errors import Busy, EnvironmentFailed, InvalidInput, MlifecycleError, Problem
from pipeline.state import State, locked

NAME = ("fraud-detector", "payments-risk")
LOCAL = Environment.LOCAL

WITHOUT_MLFLOW = """
import sys
for heavy in ("mlflow", "sqlalchemy", "alembic"):
    sys.modules[heavy] = None
import anyio, anyio.to_thread
from pipeline.catalog import interface
from pipeline.catalog.remote import RemoteCatalog
async def call(arguments, files):
    return 0, '{"result": []}'
print(anyio.run(anyio.to_thread.run_sync, RemoteCatalog(call).in_service))
"""


def answering(exit_code: int, output: str) -> Call:
    async def call(arguments: Sequence[str], files: Mapping[str, str]) -> tuple[int, str]:
        return exit_code, output

    return call


def test_the_program_keeps_a_catalog_from_process_to_process(
    state: State, tmp_path: Path, tell: Any
) -> None:
    remote = remotely.asking(remotely.apart(state.root, tmp_path))
    event = tell(1)
    remote.register(event)
    assert remote.serving(*NAME, LOCAL) == event.serving
    assert remote.in_service() == [event.serving]
    assert remote.history(*NAME) == [event]
    (version,) = remote.versions(*NAME)
    assert (version.number, version.release) == (1, event.release)
    assert remote.history(*NAME, Environment.PROD) == []
    assert MlflowCatalog(state).history(*NAME) == [event]


def test_the_other_end_works_where_mlflow_cannot_be_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MLFLOW], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_a_failure_comes_back_in_the_same_words(state: State, tmp_path: Path) -> None:
    (state.root / "catalog.db").write_bytes(b"\xa5" * 5000)
    with pytest.raises(EnvironmentFailed) as near:
        MlflowCatalog(state).in_service()
    with pytest.raises(EnvironmentFailed) as far:
        remotely.asking(remotely.apart(state.root, tmp_path)).in_service()
    assert str(far.value) == str(near.value)
    assert (far.value.message, far.value.remedy) == (near.value.message, near.value.remedy)


@pytest.mark.parametrize(
    "error",
    [
        EnvironmentFailed("It failed.", "Mend it."),
        Busy("It is at work.", "Wait."),
        InvalidInput([Problem("a", "b[1]", "c", "d", "e", 3), Problem("a", "", "", "d", "e")]),
    ],
)
def test_every_error_keeps_its_kind_and_words_on_the_way(error: MlifecycleError) -> None:
    again = Failure.model_validate_json(Failure.of(error).model_dump_json()).error()
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_catalog_that_another_command_holds_is_busy(
    state: State, tmp_path: Path, tell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.catalog.registry._LOCK_WAIT", 0.0)
    remote = remotely.asking(remotely.here(state.root, tmp_path))
    with locked(state.root / "catalog.lock", wait=0.0), pytest.raises(Busy):
        remote.register(tell(1))


def test_no_credentials_get_into_the_answer(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "carrier-pigeon://me:hunter2@roof")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    exit_code, document = run([f"--state={state.root}", "in-service"])
    assert exit_code == 3
    assert "carrier-pigeon://***@roof" in document
    refused, complaint = run(["--state=x", "carrier-pigeon://me:hunter2@roof", "t0ken"])
    assert refused == 2
    assert "hunter2" not in document + complaint
    assert "t0ken" not in complaint


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "expected an event"),
        ("[]", "expected an event"),
        ('{"name": "A"}', "event.json: name; expected an event"),
        (None, "expected a file with an event"),
    ],
)
def test_what_is_no_event_is_refused_by_field(
    state: State, tmp_path: Path, content: str | None, says: str
) -> None:
    file = tmp_path / "event.json"
    if content is not None:
        file.write_text(content)
    exit_code, document = run([f"--state={state.root}", "register", f"--event={file}"])
    assert exit_code == 2
    assert says in json.loads(document)["error"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--state=x"],
        ["--state=x", "forget"],
        ["--state=x", "serving", "--name=a", "--namespace=b"],
        ["--state=x", "serving", "--name=a", "--namespace=b", "--environment=moon"],
    ],
)
def test_a_wrong_command_line_is_invalid_input(arguments: list[str]) -> None:
    exit_code, document = run(arguments)
    assert exit_code == 2
    assert json.loads(document)["error"]["kind"] == "InvalidInput"


def test_what_nobody_foresaw_is_an_answer_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(state: State) -> None:
        print("a library's notice")
        raise ZeroDivisionError("at https://me:hunter2@host")

    monkeypatch.setattr("pipeline.catalog.__main__.MlflowCatalog", broken)
    exit_code, document = run([f"--state={tmp_path}", "in-service"])
    assert exit_code == 3
    assert "ZeroDivisionError: at https://***@host" in json.loads(document)["error"]["message"]


def test_a_notice_that_a_library_prints_does_not_spoil_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Talkative(MlflowCatalog):
        def __init__(self, state: State) -> None:
            print("a library's notice")
            super().__init__(state)

    monkeypatch.setattr("pipeline.catalog.__main__.MlflowCatalog", Talkative)
    assert run([f"--state={tmp_path}", "in-service"]) == (0, '{"result": []}')
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("exit_code", "output"),
    [
        (0, ""),
        (0, "[]"),
        (0, "{}"),
        (0, '{"result": "hunter2"}'),
        (0, '{"result": [{"name": "hunter2"}]}'),
        (137, ""),
        (1, "Traceback: hunter2"),
        (3, '{"error": "hunter2"}'),
        (3, '{"result": []}'),
    ],
)
def test_a_program_that_gives_no_answer_is_named_and_not_quoted(
    exit_code: int, output: str
) -> None:
    with pytest.raises(EnvironmentFailed, match=rf"exit code {exit_code}") as caught:
        remotely.asking(answering(exit_code, output)).in_service()
    assert caught.value.remedy
    assert "hunter2" not in str(caught.value)
