"""uvicorn with two abilities more: it starts to accept when told, and it drains without loss.

A drain stops accepting and answers on every open connection with `Connection: close`. An idle
keep-alive connection stays open for a while, because a request may be on its way on it; only one
that is still idle after that is closed, and only while nothing waits in its receive buffer.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import logging
import signal
import socket
import termios
import time
from collections.abc import Callable, Collection, Coroutine
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import uvicorn

DRAIN_IDLE = 10.0
DRAIN_LIMIT = 60.0
# Longer than the usual load balancer keeps its side open, so that the client is the one to close.
KEEP_ALIVE = 75
BACKLOG = 2048

_log = logging.getLogger(__name__)


@runtime_checkable
class Direct(Protocol):
    """An application that brings its own kind of connection, beside being an ASGI callable."""

    def connection_class(self) -> type[asyncio.Protocol]:
        """The connections' class: with `check(now, idle)`, called every second, to end those on
        which something takes too long."""

    def attach(self, connections: Collection[object]) -> None:
        """The open connections, which change."""

    def draining(self) -> None:
        """No more connections are accepted."""


class Server(uvicorn.Server):
    """Serves an ASGI app on `sockets` at once, and on `listener` from `activate` on."""

    def __init__(
        self,
        app: Any,
        *,
        listener: socket.socket | None,
        on_ready: Callable[[], None] = lambda: None,
        on_drain: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=app.connection_class() if isinstance(app, Direct) else "httptools",
                lifespan="on",
                ws="none",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=5,
                backlog=BACKLOG,
            )
        )
        self._direct = app if isinstance(app, Direct) else None
        if self._direct is not None:
            self._direct.attach(self.server_state.connections)
        self._listener = listener
        self._on_ready = on_ready
        self._on_drain = on_drain
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    @property
    def in_flight(self) -> int:
        """How many requests are being answered now."""
        return sum(not _is_answered(each) for each in list(self.server_state.connections))

    def activate(self) -> None:
        """Accept on the listening socket. Called from another thread; returns once it is so."""
        self._call(self._activate())

    def drain(self, idle: float = -1.0) -> None:
        """Accept no more, from another thread. Idle connections close after `idle` seconds.

        A negative `idle` means the default, DRAIN_IDLE.
        """
        self._call(self._begin_drain(DRAIN_IDLE if idle < 0 else idle))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application and serve on `sockets`."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM drains; SIGINT, which a person sends, does not wait for idle connections."""
        idle = 0.0 if sig == signal.SIGINT else DRAIN_IDLE
        if self._loop is None:
            self.should_exit = True
            return
        self._loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self._begin_drain(idle)))

    async def on_tick(self, counter: int) -> bool:
        """Once a second, end the connections on which something takes too long."""
        if counter % 10 == 0 and self._direct is not None:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                connection.check(now, KEEP_ALIVE)  # type: ignore[union-attr]
        return await super().on_tick(counter)

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            work.close()
            raise RuntimeError("the server has not started")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _activate(self) -> None:
        if self._listener is None:
            raise RuntimeError("the server was given no listening socket")
        if self._draining is not None:
            raise RuntimeError("the server is draining")
        if any(self._listener.fileno() in _numbers(server) for server in self.servers):
            return
        config = self.config

        def protocol() -> asyncio.Protocol:
            return config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=self.server_state, app_state=self.lifespan.state
            )

        accepting = await asyncio.get_running_loop().create_server(
            protocol, sock=self._listener, backlog=BACKLOG
        )
        self.servers.append(accepting)
        _log.info("accepting connections")

    async def _begin_drain(self, idle: float) -> None:
        if self._draining is not None:
            return
        self._on_drain()
        if self._direct is not None:
            self._direct.draining()
        _log.info("draining %d connections", len(self.server_state.connections))
        for server in self.servers:
            server.close()
        if self._listener is not None:
            self._listener.close()
        close = (b"connection", b"close")
        # The list of now is changed in place for the requests that are being answered; the
        # configuration is what uvicorn renews that list from every second.
        self.config.encoded_headers.append(close)
        self.server_state.default_headers.append(close)
        # Connections accepted in this turn of the loop get their protocol in the next ones.
        for _ in range(3):
            await asyncio.sleep(0)
        self._draining = asyncio.ensure_future(self._finish(idle))

    async def _finish(self, idle: float) -> None:
        began = time.monotonic()
        while self.server_state.connections or self.server_state.tasks:
            passed = time.monotonic() - began
            if passed >= idle:
                for connection in list(self.server_state.connections):
                    if _is_idle(connection):
                        connection.shutdown()
            if passed >= DRAIN_LIMIT:
                _log.error("drain limit reached with %d requests unanswered", self.in_flight)
                self.force_exit = True
                break
            await asyncio.sleep(0.05)
        _log.info("drained")
        self.should_exit = True


def _numbers(server: asyncio.base_events.Server) -> set[int]:
    return {sock.fileno() for sock in server.sockets}


def _is_answered(connection: Any) -> bool:
    return connection.cycle is None or connection.cycle.response_complete


def _is_idle(connection: Any) -> bool:
    """True when no request is being answered on it and no byte of one has arrived."""
    if not _is_answered(connection):
        return False
    sock = connection.transport.get_extra_info("socket")
    waiting = array.array("i", [0])
    with contextlib.suppress(OSError):
        fcntl.ioctl(sock.fileno(), termios.FIONREAD, waiting)
    return waiting[0] == 0
