"""A real server around an application, in a thread of the test, and ways to talk to it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from serving.app import create_app
from serving.http.application import Application
from serving.lanes.interface import Rows
from serving.server import Server


class Model:
    """A lane whose behaviour a test sets: probabilities from the first feature."""

    name = "test"

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.seconds = 0.0
        self.fails: Callable[[Rows], bool] = lambda rows: False

    def predict(self, rows: Rows) -> Rows:
        self.calls.append(len(rows))
        if self.seconds:
            time.sleep(self.seconds)
        if self.fails(rows):
            raise ValueError("its inside")
        first = np.clip(rows[:, :1], 0, 1)
        return np.hstack([1 - first, first]).astype(np.float32)


class Live:
    def __init__(self, application: Application, port: int, server: Server) -> None:
        self.application = application
        self.port = port
        self.server = server

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(
        self,
        path: str,
        document: Any = None,
        on: http.client.HTTPConnection | None = None,
        **headers: str,
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        connection = on or self.connection()
        body = None if document is None else json.dumps(document).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if body is None else "POST", path, body, sent)
        answer = connection.getresponse()
        content = answer.read()
        if on is None:
            connection.close()
        return answer.status, json.loads(content) if content else None, answer.headers

    def metric(self, line: str) -> float:
        """The value of a series, by its name and labels as they are written."""
        connection = self.connection()
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        [value] = [
            found.rsplit(" ", 1)[1] for found in text.splitlines() if found.startswith(f"{line} ")
        ]
        return float(value)


@contextmanager
def live(application: Application) -> Iterator[Live]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    started = threading.Event()
    server = Server(application, listener=None, on_ready=started.set)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        assert started.wait(30)
        yield Live(application, listener.getsockname()[1], server)
    finally:
        server.force_exit = server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def application(settings: Any, lane: Any, **more: Any) -> Application:
    made = create_app(settings, lane, **more)
    made.readiness.lasting = ()  # the model of a test answers no golden input rightly
    lane.calls.clear()
    return made


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def received(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)
