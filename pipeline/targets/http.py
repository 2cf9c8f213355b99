"""A small HTTP client: to a server's verification socket, or to a URL."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread

from pipeline.targets.interface import Reply
from pipeline.targets.sockets import address


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with address(self._path) as name:
            self.sock.connect(name)


class HttpClient:
    """Talks to one server, over one connection that it keeps while the server does.

    Its calls run in a thread each, so the time they report is the server's and not the loop's.
    `headers` go with each.
    """

    def __init__(
        self, connection: http.client.HTTPConnection, headers: Mapping[str, str] | None = None
    ) -> None:
        self._connection = connection
        self._headers = dict(headers or {})

    @classmethod
    def unix(cls, path: Path, seconds: float = 30.0) -> HttpClient:
        """To the server that listens on the unix socket `path`; `seconds` bounds each call."""
        return cls(_Unix(path, seconds))

    @classmethod
    def url(cls, url: str, seconds: float = 30.0) -> HttpClient:
        """To `http://host:port`."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"{url} is no http URL")
        return cls(http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds))

    async def get(self, path: str) -> Reply:
        """GET `path`. Raises OSError when there is no answer."""
        return await self._thread("GET", path, None)

    async def post(self, path: str, body: Any) -> Reply:
        """POST `body` as JSON. Raises OSError when there is no answer."""
        return await self._thread("POST", path, json.dumps(body).encode())

    def close(self) -> None:
        """Hang up. The next call connects again."""
        self._connection.close()

    async def _thread(self, *call: Any) -> Reply:
        return await anyio.to_thread.run_sync(self._call, *call, abandon_on_cancel=True)

    def _call(self, method: str, path: str, body: bytes | None) -> Reply:
        began = time.perf_counter()
        headers = self._headers | ({} if body is None else {"Content-Type": "application/json"})
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            self._connection.close()
            raise ConnectionError(f"the answer is no HTTP: {error!r}") from error
        except OSError:
            self._connection.close()
            raise
        return Reply(answer.status, content, time.perf_counter() - began)
