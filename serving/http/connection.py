"""One client's connection: uvicorn's, with bounds, and without ASGI for our own routes.

uvicorn makes a scope, an event, a cycle and a task for every request and sends an answer in two
messages with every header looked at twice. Here a request is one object which the route answers
with one write. uvicorn's own way is taken for the pages only.

What uvicorn leaves to a proxy in front is bounded here: the size of a request's head, the time that
it and its body may take, the time that a caller may take over the answer, the connections.
"""

from __future__ import annotations

import asyncio
import http
import urllib.parse
from collections.abc import Sequence
from functools import partial
from time import monotonic
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from serving.http.application import Application, page, too_large
from serving.http.direct import DirectExchange
from serving.http.problems import Refused
from serving.metrics.metrics import OTHER

_STATUS = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in http.HTTPStatus
}


class Connection(HttpToolsProtocol):
    """One connection. `application` is set by the class that `connection_of` makes."""

    application: Application
    # uvicorn's own kind of request, or ours.
    cycle: Any
    pipeline: Any

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._limits = self.application.limits
        # When the request under way began to arrive, the last answer, and the stall of a write.
        self._receiving: float | None = None
        self._in_head = False
        self._idle_since = monotonic()
        self._stalled: float | None = None
        self._head_size = 0
        # uvicorn's headers of every answer, as text, and whether they close the connection.
        self._defaults: tuple[Any, int, bytes] = (None, 0, b"")
        self._closing = False
        self._private = False

    # The connection

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        super().connection_made(transport)
        private = self.application.private_socket
        self._private = private != "" and transport.get_extra_info("sockname") == private
        metrics = self.application.metrics
        metrics.connections.set(len(self.connections))
        if len(self.connections) > self._limits.max_connections:
            self.refuse(
                Refused(
                    429,
                    "too_many_connections",
                    "Too many connections are open.",
                    headers={b"retry-after": b"1"},
                )
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: its requests leave the queue."""
        for cycle in [self.cycle, *(cycle for cycle, _ in self.pipeline)]:
            if isinstance(cycle, DirectExchange):
                cycle.gone = True
                self._let_go(cycle)
        super().connection_lost(exc)
        self.application.metrics.connections.set(len(self.connections))

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if self._in_head or self._receiving is None:
            self._head_size += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # no other protocol is spoken: the request is answered as it is
        except httptools.HttpParserError:
            self.refuse(Refused(400, "invalid_http", "That is no HTTP request."))
            return
        if self._receiving is None:
            return
        if not self._in_head:
            self._hold()
        elif self._head_size > self._limits.max_header:
            self.refuse(self._head_too_large())

    def pause_writing(self) -> None:
        """The client takes its answers too slowly: no more requests are read of it."""
        self._stalled = monotonic()
        super().pause_writing()
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        """It has taken them."""
        self._stalled = None
        super().resume_writing()
        self.flow.resume_reading()

    def check(self, now: float, idle: float) -> None:
        """End the connection when something on it takes too long. `idle` is for keep-alive."""
        limits = self._limits
        if self._stalled is not None and now - self._stalled > limits.write_seconds:
            self.transport.abort()
        elif self._receiving is not None and not self.flow.read_paused:
            longest = limits.header_seconds if self._in_head else limits.body_seconds
            if now - self._receiving > longest:
                self.refuse(Refused(408, "timeout", "The request took too long to arrive."))
        elif not self.busy and now - self._idle_since > idle:
            self.transport.close()

    @property
    def busy(self) -> bool:
        """A request has arrived in part or is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def refuse(self, refused: Refused) -> None:
        """Answer outside of any request that could be answered, and close."""
        exchange = DirectExchange(self, "", "", b"", (), keep_alive=False)
        exchange.route = OTHER
        exchange.done = self.application.answered
        self._receiving = None
        cycle = self.cycle
        if cycle is not None and (cycle.more_body or not cycle.response_complete):
            # An answer is under way, or was given before its request had ended.
            if self.busy and not self.pipeline and isinstance(cycle, DirectExchange):
                cycle.keep_alive = False
                cycle.refuse(refused)
            self.transport.close()
            return
        self.cycle = exchange
        exchange.refuse(refused)

    # The parser's calls

    def on_message_begin(self) -> None:
        """The first bytes of a request."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_head = True
        self._receiving = monotonic()

    def on_headers_complete(self) -> None:
        """The head of a request is there."""
        self._in_head = False
        large = self._head_size > self._limits.max_header
        self._head_size = 0
        parser = self.parser
        url = self.url
        if b"?" in url or b"%" in url or not url.startswith(b"/"):
            path, query = _parsed(url)
        else:
            path, query = url.decode("latin-1"), b""
        exchange = DirectExchange(
            self,
            parser.get_method().decode("ascii"),
            path,
            query,
            self.headers,
            parser.should_keep_alive() and not parser.should_upgrade(),
        )
        exchange.private = self._private
        before = self.cycle
        self.cycle = exchange
        if large and sum(len(name) + len(value) for name, value in self.headers) + len(url) > (
            self._limits.max_header
        ):
            exchange.keep_alive = False
            exchange.early = self._head_too_large()
        if parser.should_upgrade() and exchange.method not in ("GET", "HEAD"):
            # The parser takes the body for the other protocol's.
            message = "Other protocols are not spoken here: send the request without Upgrade."
            exchange.early = Refused(400, "invalid_http", message)
        if before is None or before.response_complete:
            self._start(exchange)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.application))

    def on_body(self, body: bytes) -> None:
        """A part of a request's body."""
        cycle = self.cycle
        if not isinstance(cycle, DirectExchange):
            super().on_body(body)
        elif not cycle.status:
            if not cycle.body:
                cycle.body = body
                return
            if type(cycle.body) is bytes:
                cycle.body = bytearray(cycle.body)
            cycle.body += body
            if len(cycle.body) > self._limits.max_body:
                cycle.refuse(too_large(self._limits))

    def on_message_complete(self) -> None:
        """A request is there as a whole."""
        self._receiving = None
        cycle = self.cycle
        if not isinstance(cycle, DirectExchange):
            super().on_message_complete()
            return
        cycle.more_body = False
        if cycle.target is not None and not cycle.status:
            self.application.answer(cycle, cycle.target)

    # Answers

    def _start(self, exchange: DirectExchange) -> None:
        """It is this request's turn: its answer is the next on the connection."""
        if exchange.early is not None:
            exchange.done = self.application.answered
            exchange.route = OTHER
            exchange.refuse(exchange.early)
            return
        target = self.application.enter(exchange)
        if target is page:
            self._start_page(exchange)
            return
        exchange.target = target
        if target is None:
            return
        if not exchange.more_body:
            self.application.answer(exchange, target)
        elif self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """The next of the requests that came before their turn."""
        if isinstance(cycle, DirectExchange):
            self._start(cycle)
        else:
            super()._start_asgi_task(cycle, app)

    def _start_page(self, exchange: DirectExchange) -> None:
        cycle = RequestResponseCycle(
            scope=exchange.scope(),
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=exchange.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.more_body = exchange.more_body
        cycle.message_event.set()
        if self.cycle is exchange:
            self.cycle = cycle
        super()._start_asgi_task(cycle, partial(self.application.show, exchange))

    def write(
        self,
        exchange: DirectExchange,
        status: int,
        body: bytes,
        media_type: bytes,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Write an answer, and go on with the next request."""
        exchange.response_started = exchange.response_complete = True
        if exchange.held:
            self._let_go(exchange)
        if self.transport.is_closing():
            return
        defaults = self.server_state.default_headers
        if self._defaults[0] is not defaults or self._defaults[1] != len(defaults):
            text = b"".join(b"%b: %b\r\n" % header for header in defaults)
            self._defaults = (defaults, len(defaults), text)
            self._closing = any(header == (b"connection", b"close") for header in defaults)
        close = not exchange.keep_alive
        extra = b"".join([b"%b: %b\r\n" % header for header in headers]) if headers else b""
        if close and not self._closing:
            extra += b"connection: close\r\n"
        self.transport.write(
            b"%b%bcontent-type: %b\r\nx-request-id: %b\r\n%bcontent-length: %d\r\n\r\n%b"
            % (
                _STATUS[status],
                self._defaults[2],
                media_type,
                exchange.request_id,
                extra,
                len(body),
                body if exchange.method != "HEAD" else b"",
            )
        )
        self.server_state.total_requests += 1
        if close or self._closing:
            self.transport.close()
            return
        self._idle_since = monotonic()
        if self._stalled is None:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            # A turn of the loop later: a long pipeline must not be a deep recursion.
            self.loop.call_soon(self._start_asgi_task, cycle, app)

    def on_response_complete(self) -> None:
        """A page has been shown."""
        self._idle_since = monotonic()
        super().on_response_complete()

    def _hold(self) -> None:
        """Count the body that is on its way against what all of them may hold together."""
        cycle = self.cycle
        if not isinstance(cycle, DirectExchange) or cycle.status:
            return
        self.application.held += len(cycle.body) - cycle.held
        cycle.held = len(cycle.body)
        if self.application.held > self._limits.max_held:
            cycle.refuse(
                Refused(
                    429,
                    "overloaded",
                    "Too many large bodies are on their way. Send less at a time, or later.",
                    headers={b"retry-after": b"1"},
                )
            )

    def _let_go(self, exchange: DirectExchange) -> None:
        self.application.held -= exchange.held
        exchange.held = 0
        exchange.body = b""

    def _head_too_large(self) -> Refused:
        limit = self._limits.max_header
        return Refused(431, "headers_too_large", f"A request's head may have {limit} bytes.")


def connection_of(application: Application) -> type[Connection]:
    """The class of the connections of `application`."""
    return type("Connection", (Connection,), {"application": application})


def _parsed(url: bytes) -> tuple[str, bytes]:
    """Path and query of a request's target; raises httptools' error when it is none."""
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii") if parsed.path else "/"
    return urllib.parse.unquote(path), parsed.query or b""
