"""One request and its answer, whoever carries them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import count
from os import register_at_fork, urandom
from time import perf_counter
from typing import Any, Protocol

from serving.http.problems import Refused
from serving.record.context import TraceContext

JSON = b"application/json"

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_ids = count()
_process = b""


def _begin() -> None:
    """Ids of this process's own: a worker must not go on with those of the process that forked."""
    global _process
    _process = b"%b-" % urandom(8).hex().encode()


_begin()
register_at_fork(after_in_child=_begin)


class Exchange(ABC):
    """One request, from the moment its head is read to its answer.

    A route calls `reply` once, at once or later; it never raises into whoever called it. The header
    names are in lower case. `began` is on the clock of `time.perf_counter`. What is known of the
    request only later starts empty: `caller` is the name of who was let in, `route` the name of the
    route, `instances` how many were asked about, `status` and `code` what was answered (the code of
    an error, else empty), `waited` and `computed` the seconds in the queue and in the model.
    `rows` (n x features, float64) are what a prediction was made for, of which a hook may keep a
    copy; it must not keep the exchange.
    """

    __slots__ = (
        "_request_id",
        "began",
        "body",
        "caller",
        "code",
        "computed",
        "done",
        "gone",
        "headers",
        "instances",
        "method",
        "path",
        "private",
        "query",
        "route",
        "rows",
        "status",
        "trace",
        "waited",
    )

    def __init__(
        self, method: str, path: str, query: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body: bytes | bytearray = b""
        self.began = perf_counter()
        self.caller = ""
        self.route = ""
        self.instances = 0
        self.status = 0
        self.code = ""
        self.waited = 0.0
        self.computed = 0.0
        self.rows: Any = None
        # It came over a socket that only the server's owner can open.
        self.private = False
        self.trace: TraceContext | None = None
        # The caller has gone: nobody will read the answer.
        self.gone = False
        self.done: Callable[[Exchange], None] | None = None
        self._request_id: bytes | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first header of that name (in lower case)."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    @property
    def request_id(self) -> bytes:
        """The caller's x-request-id when it is a plain one, else one of our own."""
        if self._request_id is None:
            sent = self.header(b"x-request-id")
            if sent is not None and _REQUEST_ID.fullmatch(sent):
                self._request_id = sent
            else:
                self._request_id = b"%s%x" % (_process, next(_ids))
        return self._request_id

    def reply(
        self,
        status: int,
        body: bytes,
        media_type: bytes = JSON,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """Answer. Only the first answer counts: a second one is dropped."""
        if self.status:
            return
        self.status = status
        if self.trace is not None:
            headers = [*headers, (b"traceparent", self.trace.header)]
        self.write(status, body, media_type, headers)
        if self.done is not None:
            self.done(self)

    def refuse(self, refused: Refused) -> None:
        """Answer with an error."""
        if not self.status:
            self.code = refused.code
            protocol = self.path.startswith("/v2")
            body = refused.body(self.request_id.decode(), protocol)
            self.reply(refused.status, body, JSON, list(refused.headers.items()))

    @abstractmethod
    def write(
        self,
        status: int,
        body: bytes,
        media_type: bytes,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        """Carry the answer to the caller, with its request id."""


Route = Callable[[Exchange], None]


class Access(Protocol):
    """Who may ask: asked for every request, before anything else is done for it.

    It is called in the event loop: it computes, and waits for nothing.
    """

    def admit(self, exchange: Exchange) -> Refused | None:
        """None lets the request in, and the caller's name is in `exchange.caller`."""


class Observer(Protocol):
    """Who wants to know what was answered: an audit log, a trace.

    It is called in the event loop after the answer was written: it takes what it needs and leaves
    the work to a thread of its own. `wants_rows` is whether it looks at `exchange.rows`.
    """

    @property
    def wants_rows(self) -> bool: ...

    def answered(self, exchange: Exchange) -> None:
        """`exchange` has been answered, with `exchange.status`."""
