"""What the tests of the process target share: kills, loads, deploys in one call."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.targets.process import ProcessTarget


@dataclass(frozen=True)
class FakeRelease:
    """What a target needs to know of a release."""

    digest: str
    folder: Path
    version: str


def holder(lock: Path) -> int:
    """The process that holds the lock file, 0 when nobody does."""
    with contextlib.suppress(FileNotFoundError), lock.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(stream.read() or 0)
    return 0


def supervisor_of(place: Path) -> int:
    return holder(place / "supervisor.lock")


def servers_of(place: Path) -> list[int]:
    return [pid for lock in place.glob("instances/*/lock") if (pid := holder(lock))]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def end_processes(place: Path) -> None:
    if pid := supervisor_of(place):
        kill(pid)
        eventually(lambda: not supervisor_of(place))
    for pid in servers_of(place):
        kill(pid)
    eventually(lambda: not servers_of(place))


def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until `condition` holds; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


async def deploy(target: ProcessTarget, release: FakeRelease, **record: Any) -> None:
    async with await target.start(release) as candidate:
        await candidate.ready(20)
        await candidate.promote({"version": release.version, **record})


def ask(url: str, seconds: float = 20.0) -> dict[str, Any]:
    """One prediction over a new connection."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=seconds)
    try:
        connection.request("POST", "/predict", b'{"instances": [[1]]}')
        answer = connection.getresponse()
        assert answer.status == 200
        return json.loads(answer.read())
    finally:
        connection.close()


class Load:
    """Clients of both kinds in threads: every request's answer or error is counted.

    `unaccepted` counts what a server that stops cannot help: new connections that it refuses, or
    that the system made for it and drops with its listening socket before it has accepted them.
    """

    def __init__(self, url: str) -> None:
        self.answers: Counter[str] = Counter()
        self.errors: list[str] = []
        self.unaccepted = 0
        self.closes = 0
        self._address = url.removeprefix("http://")
        self._count = threading.Lock()
        self._stop = threading.Event()
        kinds = [(True, 0.002), (True, 0.002), (True, 0.7), (False, 0.002), (False, 0.01)]
        self._threads = [threading.Thread(target=self._run, args=kind) for kind in kinds]

    def _run(self, keep_alive: bool, pause: float) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=20)
        while not self._stop.wait(pause):
            new = connection.sock is None
            try:
                connection.request("POST", "/predict", b'{"instances": [[1]]}')
                answer = connection.getresponse()
                document = json.loads(answer.read())
                assert answer.status == 200, answer.status
                with self._count:
                    self.answers[document["model_version"]] += 1
                    self.closes += answer.getheader("connection") == "close"
            except (OSError, http.client.HTTPException, ValueError, AssertionError) as error:
                unaccepted = isinstance(error, ConnectionError) and new
                with self._count:
                    self.unaccepted += unaccepted
                    self.errors += [] if unaccepted else [repr(error)]
                connection.close()
            if not keep_alive:
                connection.close()
        connection.close()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
