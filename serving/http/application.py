"""The server's routes, and the layer outside of all of them.

Every request goes through `enter`, which asks first whether its caller may ask at all: there is no
way to a route that goes around it. Our connections (`connection.py`) call it straight; for any
other ASGI server, and for tests, the application is a plain ASGI callable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from time import perf_counter
from typing import Any, Protocol

from serving.batching import Batcher
from serving.http.exchange import Access, Exchange, Observer, Route
from serving.http.problems import Refused
from serving.limits import Limits
from serving.metrics.metrics import OTHER, Metrics
from serving.readiness import Readiness

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Any, Receive, Send], Awaitable[None]]

_log = logging.getLogger(__name__)


def page(exchange: Exchange) -> None:
    """In the place of a route: the FastAPI application answers."""
    raise TypeError("a page is answered by Application.show")


class Service(Protocol):
    """What works in a thread beside the event loop."""

    def start(self) -> None:
        """Begin, in the process that serves."""

    def stop(self) -> None:
        """End; it may take some seconds."""


class Application:
    """`routes` are by path, then method, each with the name it is counted under.

    `pages` makes the FastAPI application that answers the routes `page`: when the first of them is
    asked for, as its import takes longer than all the rest of the start.
    """

    def __init__(
        self,
        routes: Mapping[str, Mapping[str, tuple[str, Route]]],
        pages: Callable[[], AsgiApp],
        access: Access,
        observers: Sequence[Observer],
        limits: Limits,
        metrics: Metrics,
        readiness: Readiness,
        batcher: Batcher,
    ) -> None:
        self.routes = routes
        self.readiness = readiness
        self.batcher = batcher
        # Bytes of bodies that are on their way.
        self.held = 0
        self.limits = limits
        self.metrics = metrics
        # The name of the socket that only the server's owner can open, if there is one.
        self.private_socket = ""
        # What works beside the event loop while the server serves.
        self.services: tuple[Service, ...] = ()
        self._access = access
        self._observers = tuple(observers)
        self._make_pages = pages
        self._pages: AsgiApp | None = None

    def enter(self, exchange: Exchange) -> Route | None:
        """The route that answers `exchange` once its body is there; None when it is answered."""
        exchange.done = self.answered
        exchange.route = OTHER
        try:
            refused = self._access.admit(exchange)
            if refused is None:
                return self._route(exchange)
        except Refused as error:
            refused = error
        except Exception:
            refused = self._failed(exchange)
        # What was asked for is known by its name, though not answered.
        named = self.routes.get(exchange.path, {}).get(exchange.method)
        if named is not None:
            exchange.route = named[0]
        exchange.refuse(refused)
        return None

    def answer(self, exchange: Exchange, route: Route) -> None:
        """Call the route: whatever it raises becomes an answer."""
        try:
            route(exchange)
        except Refused as refused:
            exchange.refuse(refused)
        except Exception:
            exchange.refuse(self._failed(exchange))

    def _route(self, exchange: Exchange) -> Route:
        methods = self.routes.get(exchange.path)
        if methods is None:
            raise Refused(404, "not_found", "There is nothing here.")
        found = methods.get(exchange.method)
        if found is None:
            allowed = ", ".join(methods).encode()
            message = "This path does not know that method."
            raise Refused(405, "method_not_allowed", message, headers={b"allow": allowed})
        exchange.route, route = found
        return route

    def _failed(self, exchange: Exchange) -> Refused:
        _log.exception("request %s failed", exchange.request_id.decode())
        return Refused(500, "internal_error", "The server failed; its log says why.")

    def answered(self, exchange: Exchange) -> None:
        """Count it, and tell who wants to know."""
        self.metrics.answered(
            exchange.route, exchange.status, exchange.code, perf_counter() - exchange.began
        )
        for observer in self._observers:
            try:
                observer.answered(exchange)
            except Exception:
                _log.exception("an observer failed")

    def connection_class(self) -> type[asyncio.Protocol]:
        """The class of this application's own connections, under our server."""
        from serving.http.connection import connection_of

        return connection_of(self)

    def attach(self, connections: Collection[object]) -> None:
        """The open connections of our server."""
        self.batcher.connections = connections

    def draining(self) -> None:
        """The server accepts no more connections."""
        self.readiness.draining = True

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await receive()
            try:
                for service in self.services:
                    service.start()
            except Exception as error:
                _log.error("the server cannot start: %s", error)
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
            for service in self.services:
                await asyncio.to_thread(service.stop)
            await send({"type": "lifespan.shutdown.complete"})
            return
        exchange = AsgiExchange(scope)
        route = self.enter(exchange)
        if route is page:
            await self.show(exchange, scope, receive, send)
            return
        try:
            if route is not None:
                await self._read(exchange, receive)
                if not exchange.status:
                    self.answer(exchange, route)
            await exchange.written(send)
        finally:
            exchange.gone = True

    async def show(self, exchange: Exchange, scope: Any, receive: Receive, send: Send) -> None:
        """Let the FastAPI application answer."""
        if self._pages is None:
            self._pages = await asyncio.to_thread(self._make_pages)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", exchange.request_id),
                ]
                if exchange.trace is not None:
                    message["headers"].append((b"traceparent", exchange.trace.header))
            await send(message)

        try:
            await self._pages(scope, receive, noting)
        finally:
            exchange.status = exchange.status or 500
            self.answered(exchange)

    async def _read(self, exchange: Exchange, receive: Receive) -> None:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                exchange.refuse(Refused(400, "incomplete_body", "The body ended early."))
                return
            body += message.get("body", b"")
            if len(body) > self.limits.max_body:
                exchange.refuse(too_large(self.limits))
                return
            if not message.get("more_body"):
                exchange.body = body
                return


def too_large(limits: Limits) -> Refused:
    """A body that is not read to its end."""
    return Refused(413, "body_too_large", f"A body may have {limits.max_body} bytes.")


class AsgiExchange(Exchange):
    """A request that an ASGI server carries."""

    __slots__ = ("_answer",)

    def __init__(self, scope: Any) -> None:
        super().__init__(scope["method"], scope["path"], scope["query_string"], scope["headers"])
        self._answer: asyncio.Future[tuple[int, bytes, list[tuple[bytes, bytes]]]] = (
            asyncio.get_running_loop().create_future()
        )

    def write(
        self,
        status: int,
        body: bytes,
        media_type: bytes,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Keep the answer for `written`."""
        if not self._answer.done():
            own = [
                (b"content-type", media_type),
                (b"content-length", str(len(body)).encode()),
                (b"x-request-id", self.request_id),
            ]
            content = b"" if self.method == "HEAD" else body
            self._answer.set_result((status, content, [*own, *headers]))

    async def written(self, send: Send) -> None:
        """Send the answer once it is there."""
        status, body, headers = await self._answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
