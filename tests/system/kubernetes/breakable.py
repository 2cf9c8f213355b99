"""A way to the API server that can be cut: a kubeconfig that leads through a proxy."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import yaml


class Wire:
    """Passes bytes on from an address of this machine, until it is cut."""

    def __init__(self, port: int, at: str = "127.0.0.1") -> None:
        self.address = at
        self._to = ("127.0.0.1", port)
        self._listening = socket.create_server((at, 0))
        self._open: list[socket.socket] = []
        self._cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    def cut(self) -> None:
        """End every connection, and refuse new ones."""
        self._cut = True
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        self.cut()
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                if self._cut:
                    near.close()
                    continue
                far = socket.create_connection(self._to)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def wire(folder: Path) -> Iterator[tuple[Wire, Path]]:
    """A wire to the cluster, and the kubeconfig that leads over it."""
    document = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    cluster = document["clusters"][0]["cluster"]
    found = Wire(int(cluster["server"].rpartition(":")[2]))
    cluster["server"] = f"https://127.0.0.1:{found.port}"
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    try:
        yield found, path
    finally:
        found.close()


def with_token(folder: Path, token: str) -> Path:
    """A kubeconfig with another account's token."""
    document = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    document["users"][0]["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path
