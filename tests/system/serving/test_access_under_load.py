"""Keys, rates and the audit log of the real server while many ask at once and keys change."""

from __future__ import annotations

import collections
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
sys.path.append(str(REPOSITORY / "tests" / "serving"))

from served_example import EXAMPLES, settings_of  # noqa: E402

PREFIX = "MLIFECYCLE_SERVING_"
EACH = 400

pytestmark = pytest.mark.alone


def make_key(file: Path, name: str, *more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "serving", "keys", "new", name, "--file", str(file), *more],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    return done.stdout.strip()


def remove_key(file: Path, name: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "serving", "keys", "remove", name, "--file", str(file)],
        check=True,
        cwd=REPOSITORY,
    )


@pytest.fixture
def release(tmp_path: Path) -> tuple[Path, bytes]:
    import yaml

    manifest = yaml.safe_load((EXAMPLES / "model-manifest.yaml").read_text())
    data = (EXAMPLES / "fraud-detector" / "model.pt2").read_bytes()
    folder = tmp_path / "release"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.pt2").write_bytes(data)
    settings = settings_of(manifest, data)
    (folder / "settings.json").write_text(json.dumps(settings))
    instance = settings["golden_inputs"][0]["instance"]
    return folder, json.dumps({"instances": [instance]}).encode()


Start = Callable[..., tuple[subprocess.Popen[bytes], int]]


@pytest.fixture
def start(tmp_path: Path, release: tuple[Path, bytes]) -> Iterator[Start]:
    processes = []

    def begin(*arguments: str, **settings: str) -> tuple[subprocess.Popen[bytes], int]:
        held = socket.create_server(("127.0.0.1", 0))
        port = held.getsockname()[1]
        held.close()
        log = (tmp_path / "server.log").open("ab")
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "serving", "--release", str(release[0])),
                *("--release-digest", "sha256:" + "a" * 64, "--port", str(port), *arguments),
            ],
            env={**os.environ, **{PREFIX + name: value for name, value in settings.items()}},
            cwd=REPOSITORY,
            stdout=log,
            stderr=log,
        )
        processes.append(process)
        deadline = time.monotonic() + 120
        while True:
            try:
                if ask(port, None, "GET", "/ready") == 200:
                    return process, port
            except OSError:
                pass
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "server.log").read_text()
            time.sleep(0.1)

    yield begin
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait(30)


def ask(port: int, key: str | None, method: str, path: str, body: bytes | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        return answered(connection, key, method, path, body)
    finally:
        connection.close()


def answered(
    connection: http.client.HTTPConnection,
    key: str | None,
    method: str,
    path: str,
    body: bytes | None,
) -> int:
    headers = {"Content-Type": "application/json"} if body else {}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    response.read()
    return response.status


def ended(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


@pytest.mark.parametrize("workers", [1, 2])
def test_each_caller_gets_what_it_may_and_every_request_is_written_down(
    workers: int, tmp_path: Path, release: tuple[Path, bytes], start: Start
) -> None:
    file, log = tmp_path / "keys.json", tmp_path / "audit.log"
    callers: dict[str, str | None] = {
        "good": make_key(file, "good"),
        "slow": make_key(file, "slow", "--rate", "1", "--burst", "2"),
        "unknown": "mlk_00000000_" + "x" * 43,
        "nobody": None,
    }
    process, port = start(
        *("--workers", str(workers)), AUTHENTICATION="keys", KEYS_FILE=str(file), AUDIT=str(log)
    )
    found: dict[str, collections.Counter[int]] = {name: collections.Counter() for name in callers}

    def work(name: str, statuses: collections.Counter[int]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(EACH):
            statuses[answered(connection, callers[name], "POST", "/predict", release[1])] += 1
        connection.close()

    results: list[tuple[str, collections.Counter[int]]] = []
    threads = []
    for name in list(callers) * 2:
        results.append((name, collections.Counter()))
        threads.append(threading.Thread(target=work, args=results[-1]))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    for name, statuses in results:
        found[name] += statuses
    assert ended(process) == 0
    assert found["good"] == {200: 2 * EACH}
    assert found["unknown"] == found["nobody"] == {401: 2 * EACH}
    assert set(found["slow"]) == {200, 429}
    assert found["slow"][429] > found["slow"][200]
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.read_bytes().splitlines()]
    written = collections.Counter((line["caller"], line["status"]) for line in lines)
    assert written == {
        ("good", 200): 2 * EACH,
        ("slow", 200): found["slow"][200],
        ("slow", 429): found["slow"][429],
        (None, 401): 4 * EACH,
    }
    assert len({line["request_id"] for line in lines}) == 8 * EACH


def test_keys_change_under_load_and_nobody_else_notices(
    tmp_path: Path, release: tuple[Path, bytes], start: Start
) -> None:
    file = tmp_path / "keys.json"
    kept, old = make_key(file, "kept"), make_key(file, "old")
    process, port = start(AUTHENTICATION="keys", KEYS_FILE=str(file))
    over = threading.Event()
    statuses: collections.Counter[int] = collections.Counter()

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not over.is_set():
            statuses[answered(connection, kept, "POST", "/predict", release[1])] += 1
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert ask(port, old, "POST", "/predict", release[1]) == 200
        new = make_key(file, "new")
        until(lambda: ask(port, new, "POST", "/predict", release[1]) == 200)
        remove_key(file, "old")
        until(lambda: ask(port, old, "POST", "/predict", release[1]) == 401)
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert set(statuses) == {200}
    assert ended(process) == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_a_supervised_server_answers_its_owner_without_a_key_and_others_with_one(
    tmp_path: Path, release: tuple[Path, bytes]
) -> None:
    file = tmp_path / "keys.json"
    key = make_key(file, "good")
    listener = socket.create_server(("127.0.0.1", 0))
    environment = {PREFIX + "AUTHENTICATION": "keys", PREFIX + "KEYS_FILE": str(file)}
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "serving", "--release", str(release[0])),
                *("--release-digest", "sha256:" + "a" * 64),
                *("--control", str(tmp_path / "c"), "--socket-fd", str(listener.fileno())),
            ],
            env={**os.environ, **environment},
            cwd=REPOSITORY,
            pass_fds=(listener.fileno(),),
            stdout=log,
            stderr=log,
        )
    try:
        with socket.socket(socket.AF_UNIX) as control:
            # At once: a server whose owner does not come ends itself.
            until(
                lambda: control.connect_ex(str(tmp_path / "c")) == 0 or process.poll() is not None
            )
            lines = control.makefile("rwb")

            def told(operation: str) -> Any:
                lines.write(json.dumps({"op": operation}).encode() + b"\n")
                lines.flush()
                return json.loads(lines.readline())

            until(lambda: told("status")["state"] == "ready")
            assert (tmp_path / "c.http").stat().st_mode & 0o077 == 0
            owner = http.client.HTTPConnection("localhost", timeout=60)
            owner.sock = socket.socket(socket.AF_UNIX)
            owner.sock.connect(str(tmp_path / "c.http"))
            assert answered(owner, None, "POST", "/predict", release[1]) == 200
            owner.close()
            assert told("activate")["ok"]
            port = listener.getsockname()[1]
            assert ask(port, None, "POST", "/predict", release[1]) == 401
            assert ask(port, key, "POST", "/predict", release[1]) == 200
        assert ended(process) == 0
    finally:
        process.kill()
        process.wait(30)
        listener.close()
