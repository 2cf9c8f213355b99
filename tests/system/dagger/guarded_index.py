"""A package index that wants a password: the public one's pages behind basic authentication.

It listens where the engine's containers reach this machine. The files that its pages link to come
from where they lie.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

USER = "robot"
DEFAULT = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
KINDS = "application/vnd.pypi.simple.v1+html, text/html;q=0.9"


@dataclass
class Guarded:
    """Its address and the .netrc for it; `refused` and `answered` are the requests, by name."""

    password: str
    address: str = ""
    netrc: str = ""
    refused: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)


@contextmanager
def guarded(password: str) -> Iterator[Guarded]:
    """Run it, with this password for the user `USER`."""
    index = Guarded(password)
    behind = _default()
    right = "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.removeprefix("/simple/")
            if self.headers.get("authorization") != right:
                index.refused.append(name)
                self._answer(401, b"", "text/plain")
                return
            index.answered.append(name)
            asked = urllib.request.Request(f"{behind}/{name}", headers={"accept": KINDS})
            try:
                with urllib.request.urlopen(asked, timeout=120) as page:
                    # Links that are relative to the page have a base that says so.
                    base = f'<base href="{page.url}">'.encode()
                    body = page.read().replace(b"<head>", b"<head>" + base, 1)
                    self._answer(200, body, page.headers["content-type"])
            except urllib.error.HTTPError as error:
                self._answer(error.code, b"", "text/plain")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("www-authenticate", "Basic")
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer((_bridge(), 0), Handler)
    host, port = server.server_address[:2]
    index.address = f"http://{host}:{port}/simple/"
    index.netrc = f"machine {host} login {USER} password {password}\n"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()


def _default() -> str:
    """The index that pip takes by itself."""
    if address := os.environ.get("PIP_INDEX_URL"):
        return address.rstrip("/")
    pip = Path(sys.prefix) / "uv" / "bin" / "python"
    python = pip if pip.exists() else "python3"
    told = subprocess.run([python, "-c", DEFAULT], capture_output=True, text=True, check=True)
    return told.stdout.strip().rstrip("/")


def _bridge() -> str:
    """This machine's address in the network of the engine's containers."""
    name = Path(os.environ["MLIFECYCLE_TEST_ENGINE"]).name
    show = ["ip", "-4", "-brief", "address", "show", f"mlc-{name}0"]
    told = subprocess.run(show, capture_output=True, text=True, check=True)
    return told.stdout.split()[2].partition("/")[0]
