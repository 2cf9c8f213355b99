"""A running server's control line: JSON requests and answers over a unix socket, one per line.

It runs in a thread of its own, so that it answers while the model loads and while the event loop
is busy. Whoever starts a server keeps a connection open; a server that takes no traffic yet and
has had no connection for `ORPHANED` seconds ends itself, because its owner is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

ORPHANED = 8.0
LONGEST_LINE = 65536
DELIVERY = 3.0


class State(StrEnum):
    """Where a server is in its life. Only `serving` accepts traffic."""

    LOADING = "loading"
    READY = "ready"
    SERVING = "serving"
    DRAINING = "draining"
    FAILED = "failed"


class Controlled(Protocol):
    """What the control line commands. Its methods are called from the control thread."""

    @property
    def in_flight(self) -> int:
        """How many requests are being answered now."""

    def activate(self) -> None:
        """Return once the listening socket is accepted on."""

    def drain(self, idle: float) -> None:
        """Return once no connection is accepted any more."""


def _end() -> None:
    os._exit(1)  # there is no traffic to finish, and the loop may be blocked


class Control:
    """The control line of one server. `listener` is the inherited listening socket, if any.

    `on_orphaned` is called once, from another thread, when the owner is gone.
    """

    def __init__(
        self,
        path: Path,
        facts: dict[str, Any],
        listener: socket.socket | None,
        on_orphaned: Callable[[], None] = _end,
    ) -> None:
        self._on_orphaned = on_orphaned
        self._path = path
        self._facts = facts
        self._listener = listener
        self._server: Controlled | None = None
        self._state = State.LOADING
        self._error = ""
        self._told_failure = threading.Event()
        self._connections = 0
        self._alone_since = time.monotonic()
        self._count = threading.Lock()

    @property
    def state(self) -> State:
        """Where the server is now."""
        return self._state

    def open(self) -> None:
        """Bind the socket and answer from now on. Raises OSError when the path cannot be bound."""
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.bind(str(self._path))
        line.listen(16)
        threading.Thread(target=self._accept, args=(line,), name="control", daemon=True).start()
        threading.Thread(target=self._watch, name="control-owner", daemon=True).start()

    def describe(self, **facts: Any) -> None:
        """Add to what `status` answers."""
        self._facts = {**self._facts, **facts}

    def ready(self, server: Controlled) -> None:
        """The model is loaded and `server` answers on its verification socket."""
        self._server = server
        self._state = State.READY

    def draining(self) -> None:
        """The server accepts no more."""
        self._state = State.DRAINING

    def fail(self, error: str) -> None:
        """Say why the server ends, and give whoever watches a moment to read it."""
        self._error = error
        self._state = State.FAILED
        self._told_failure.wait(DELIVERY)

    def _watch(self) -> None:
        while self._state in (State.LOADING, State.READY):
            time.sleep(0.5)
            with self._count:
                alone = self._connections == 0
                seconds = time.monotonic() - self._alone_since
            # The state is looked at last: traffic may have been given to it by a connection that
            # has ended since.
            if alone and seconds > ORPHANED and self._state in (State.LOADING, State.READY):
                self._on_orphaned()
                return

    def _accept(self, line: socket.socket) -> None:
        while True:
            connection, _ = line.accept()
            threading.Thread(
                target=self._converse, args=(connection,), name="control-line", daemon=True
            ).start()

    def _converse(self, connection: socket.socket) -> None:
        with self._count:
            self._connections += 1
        try:
            with connection, connection.makefile("rb") as lines, contextlib.suppress(OSError):
                while line := lines.readline(LONGEST_LINE):
                    self._answer(connection, line)
        finally:
            with self._count:
                self._connections -= 1
                self._alone_since = time.monotonic()

    def _answer(self, connection: socket.socket, line: bytes) -> None:
        fds: list[int] = []
        try:
            request = json.loads(line)
            operation = request["op"]
            if operation == "status":
                reply = self._status()
            elif operation == "listener":
                if self._listener is None or self._listener.fileno() < 0:
                    raise ValueError("this server holds no listening socket")
                fds = [self._listener.fileno()]
                reply = {"ok": True}
            elif operation == "activate":
                self._command(State.SERVING, lambda server: server.activate())
                reply = {"ok": True}
            elif operation == "drain":
                idle = float(request.get("idle", -1.0))
                self._command(State.DRAINING, lambda server: server.drain(idle))
                reply = {"ok": True}
            else:
                raise ValueError(f"unknown operation {operation!r}")
        except Exception as error:
            reply = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        socket.send_fds(connection, [json.dumps(reply).encode() + b"\n"], fds)
        if reply.get("state") == State.FAILED:
            self._told_failure.set()

    def _command(self, result: State, command: Callable[[Controlled], None]) -> None:
        if self._server is None:
            raise ValueError(f"the server is {self._state}")
        command(self._server)
        self._state = result

    def _status(self) -> dict[str, Any]:
        return {
            "ok": True,
            **self._facts,
            "state": self._state,
            "pid": os.getpid(),
            "in_flight": self._server.in_flight if self._server else 0,
            "error": self._error,
        }
