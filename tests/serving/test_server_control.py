"""The real server and its control line, around a tiny application."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.control import Control, State
from serving.server import Server


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(0.5)
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


class Running:
    """A server in a thread, with its control line and a listening socket that others hold too."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "control"
        self.held = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.held.getsockname()[1]
        listener = self.held.dup()
        self.orphaned = threading.Event()
        facts = {"release": "sha256:a", "version": "1"}
        self.control = Control(self.path, facts, listener, self.orphaned.set)
        self.control.open()
        self.server = Server(
            app,
            listener=listener,
            on_ready=lambda: self.control.ready(self.server),
            on_drain=self.control.draining,
        )
        self.verification = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.verification.bind(f"{self.path}.http")
        self.thread = threading.Thread(target=self.server.run, args=([self.verification],))

    def start(self) -> None:
        self.thread.start()
        eventually(lambda: self.ask("status")["state"] == "ready")

    def ask(self, operation: str, **more: Any) -> dict[str, Any]:
        return self.say(json.dumps({"op": operation, **more}).encode() + b"\n")

    def say(self, line: bytes) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(20)
            control.connect(str(self.path))
            control.sendall(line)
            return dict(json.loads(control.makefile("rb").readline()))

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def get(connection: http.client.HTTPConnection, path: str = "/") -> tuple[bytes, str | None]:
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.read(), answer.getheader("connection")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    running.start()
    yield running
    running.server.force_exit = running.server.should_exit = True
    running.thread.join(20)
    running.held.close()
    assert not running.thread.is_alive()


def test_it_answers_for_verification_before_it_takes_traffic(running, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as verification:
        verification.settimeout(20)
        verification.connect(f"{running.path}.http")
        verification.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert verification.makefile("rb").read().startswith(b"HTTP/1.1 200")
    waiting = running.connection()
    waiting.connect()
    waiting.sock.settimeout(0.2)
    waiting.request("GET", "/")
    with pytest.raises(TimeoutError):
        waiting.getresponse()
    assert running.ask("status")["state"] == "ready"


def test_it_takes_traffic_when_told_and_being_told_twice_is_harmless(running):
    assert running.ask("activate") == {"ok": True}
    assert running.ask("activate") == {"ok": True}
    assert get(running.connection()) == (b"ok", None)
    status = running.ask("status")
    assert (status["state"], status["release"], status["in_flight"]) == ("serving", "sha256:a", 0)


def test_a_drain_refuses_no_one_whom_the_socket_still_serves(running):
    """Whoever connects after the drain waits in the backlog for the next server."""
    running.ask("activate")
    assert running.ask("drain", idle=0.2) == {"ok": True}
    running.thread.join(20)
    assert not running.thread.is_alive()
    late = running.connection()
    late.connect()
    late.close()


def test_a_drain_answers_on_open_connections_and_asks_to_close_them(running):
    running.ask("activate")
    idle, busy = running.connection(), running.connection()
    assert get(idle) == (b"ok", None)
    busy.request("GET", "/slow")
    eventually(lambda: running.ask("status")["in_flight"] == 1)
    running.ask("drain", idle=20.0)
    assert running.ask("status")["state"] == "draining"
    assert get(idle) == (b"ok", "close")
    answer = busy.getresponse()
    assert (answer.read(), answer.getheader("connection")) == (b"ok", "close")
    running.thread.join(20)
    assert not running.thread.is_alive()


def test_a_connection_that_stays_idle_is_closed_in_the_end(running):
    running.ask("activate")
    idle = running.connection()
    get(idle)
    running.ask("drain", idle=0.1)
    assert idle.sock.recv(1) == b""
    running.thread.join(20)


def test_a_request_that_is_half_sent_is_still_answered(running):
    running.ask("activate")
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        eventually(lambda: running.ask("status")["in_flight"] == 1)
        running.ask("drain", idle=0.0)
        time.sleep(0.3)
        slow.sendall(b"cd")
        assert slow.makefile("rb").read().startswith(b"HTTP/1.1 200")


def test_the_listening_socket_can_be_handed_to_another_process(running):
    running.ask("activate")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.connect(str(running.path))
        control.sendall(b'{"op": "listener"}\n')
        _, fds, _, _ = socket.recv_fds(control, 4096, 1)
    with socket.socket(fileno=fds[0]) as listener:
        assert listener.getsockname()[1] == running.port


def test_after_a_drain_there_is_no_socket_to_hand_over_and_no_way_back(running):
    running.ask("activate")
    idle = running.connection()
    get(idle)
    running.ask("drain", idle=20.0)
    assert "no listening socket" in running.ask("listener")["error"]
    assert "draining" in running.ask("activate")["error"]
    assert running.ask("status")["state"] == "draining"
    idle.close()


@pytest.mark.parametrize(
    "line",
    [b"{\n", b"[]\n", b"null\n", b"{}\n", b'{"op": "dance"}\n', b'{"op": "drain", "idle": "x"}\n'],
)
def test_what_it_does_not_understand_is_refused_and_changes_nothing(running, line):
    answer = running.say(line)
    assert answer["ok"] is False
    assert answer["error"]
    assert running.ask("status")["state"] == "ready"


def test_while_it_loads_it_tells_and_refuses_traffic(tmp_path):
    running = Running(tmp_path)
    with contextlib.closing(running.held), contextlib.closing(running.verification):
        assert running.ask("status")["state"] == "loading"
        assert "loading" in running.ask("activate")["error"]


def test_without_its_owner_it_gives_up_unless_it_serves(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.control.ORPHANED", 0.5)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    owned, alone = Running(tmp_path / "a"), Running(tmp_path / "b")
    with contextlib.ExitStack() as stack:
        for running in (owned, alone):
            stack.enter_context(running.held)
            stack.enter_context(running.verification)
        owner = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        owner.connect(str(owned.path))
        assert alone.orphaned.wait(20)
        assert not owned.orphaned.is_set()
        owner.close()
        assert owned.orphaned.wait(20)


def test_a_serving_one_needs_no_owner(running, monkeypatch):
    monkeypatch.setattr("serving.control.ORPHANED", 0.2)
    running.ask("activate")
    assert not running.orphaned.wait(2)


def test_a_failure_is_told_before_the_end(tmp_path):
    running = Running(tmp_path)
    with contextlib.closing(running.held), contextlib.closing(running.verification):
        failing = threading.Thread(target=running.control.fail, args=("no such model",))
        failing.start()
        eventually(lambda: running.control.state is State.FAILED)
        assert running.ask("status")["error"] == "no such model"
        failing.join(20)
        assert not failing.is_alive()


ALONE = """
    import socket, sys
    sys.path.insert(0, sys.argv[1])
    from test_server_control import app
    from serving.server import Server
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    Server(app, listener=None).run([listener])
"""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_the_exit_code_is_zero(sent):
    command = [sys.executable, "-c", textwrap.dedent(ALONE), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            connection = http.client.HTTPConnection(
                "127.0.0.1", int(process.stdout.readline()), timeout=20
            )
            assert get(connection)[0] == b"ok"
            connection.request("GET", "/slow")
            time.sleep(0.2)
            process.send_signal(sent)
            answer = connection.getresponse()
            assert (answer.read(), answer.getheader("connection")) == (b"ok", "close")
            assert process.wait(20) == 0
        finally:
            process.kill()


def run_serving(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving", *arguments], capture_output=True, text=True, timeout=60
    )


def test_a_release_that_is_no_folder_is_a_usage_error(tmp_path):
    done = run_serving("--release", str(tmp_path / "none"), "--release-digest", "sha256:a")
    assert done.returncode == 2
    assert "is not a folder" in done.stderr


def test_a_release_without_settings_ends_it_in_one_line(tmp_path):
    done = run_serving("--release", str(tmp_path), "--release-digest", "sha256:a", "--port", "0")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "serving: settings.json cannot be read: No such file or directory"
    ]


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = run_serving(
            "--release", str(tmp_path), "--release-digest", "sha256:a", "--port", port
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "Address already in use" in line
