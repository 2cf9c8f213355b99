"""A request that a connection answers by itself, without ASGI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from serving.http.exchange import Exchange, Route
from serving.http.problems import Refused

if TYPE_CHECKING:
    from serving.http.connection import Connection


class DirectExchange(Exchange):
    """A request on a connection of ours. It has what uvicorn wants of the request under way."""

    __slots__ = (
        "connection",
        "disconnected",
        "early",
        "held",
        "keep_alive",
        "message_event",
        "more_body",
        "response_complete",
        "response_started",
        "target",
    )

    def __init__(
        self,
        connection: Connection,
        method: str,
        path: str,
        query: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        keep_alive: bool,
    ) -> None:
        super().__init__(method, path, query, headers)
        self.connection = connection
        self.keep_alive = keep_alive
        self.more_body = True
        # A refusal that was decided while the head was read.
        self.early: Refused | None = None
        # Bytes of the body that count against what all bodies may hold together.
        self.held = 0
        self.target: Route | None = None
        self.response_started = False
        self.response_complete = False
        self.message_event = self

    def set(self) -> None:
        """The connection is lost, as uvicorn says it."""

    def write(
        self,
        status: int,
        body: bytes,
        media_type: bytes,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Write the answer to the socket, in one piece."""
        self.connection.write(self, status, body, media_type, headers)

    def scope(self) -> Any:
        """The same request for an ASGI application."""
        connection = self.connection
        return {
            "type": "http",
            "asgi": {"version": connection.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": connection.server,
            "client": connection.client,
            "scheme": connection.scheme,
            "root_path": "",
            "headers": self.headers,
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": self.query,
        }
