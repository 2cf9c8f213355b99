"""The audit log: one line of JSON for every request for predictions, whatever its answer.

Nothing in a line can look like another line: every text in it is either one of ours or held to
plain characters before, and JSON escapes what would end a line.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import random
from typing import Any

import orjson

from serving.http.exchange import Exchange
from serving.record.queue import Drained, Lost
from serving.settings import Settings

# Lines that wait while the disk or the reader of a pipe is slow.
MOST_WAITING = 20_000
# Few at a time: while they are made, no request is answered.
_CHUNK = 64
# Instances of one request that are written out at most.
MOST_INSTANCES = 100
MASKED = "***"
# A pipe takes so much in one piece; with more, the lines of several workers could mix.
_PIPE = 4096
_LOOK_FOR_FILE = 1.0  # seconds
FLUSH = 5.0  # seconds for what waits at the end

_log = logging.getLogger("serving.record")


@dataclass(frozen=True, slots=True)
class AuditTo:
    """`destination` is `stdout`, `stderr` or a file. `inputs` is the share (0 to 1) of answered
    requests whose inputs are written, without the features in `masked`."""

    destination: str
    inputs: float = 0.0
    masked: frozenset[str] = frozenset()


class Audit:
    """Hears of answers; writes those of the routes in `routes`."""

    def __init__(
        self,
        to: AuditTo,
        settings: Settings,
        routes: Collection[str],
        lost: Lost,
    ) -> None:
        self._routes = frozenset(routes)
        self._share = to.inputs
        self.wants_rows = to.inputs > 0
        self._features = [
            None if feature.name in to.masked else feature.name for feature in settings.inputs
        ]
        self._names = [feature.name for feature in settings.inputs]
        self._model = {
            "model": settings.name,
            "version": settings.version,
            "digest": settings.digest,
            "release": settings.release,
        }
        self._output = _Output(to.destination)
        self._queue: Drained[tuple[Any, ...]] = Drained(
            "audit", self._write, lost, MOST_WAITING, _CHUNK
        )

    def start(self) -> None:
        """Begin to write. Raises OSError when the file cannot be opened."""
        self._output.open()
        self._queue.start()

    def stop(self) -> None:
        """Write what waits."""
        self._queue.stop(FLUSH)

    def answered(self, exchange: Exchange) -> None:
        """Note what has been answered."""
        if exchange.route not in self._routes:
            return
        rows = None
        if self._share and exchange.rows is not None and random() < self._share:  # noqa: S311
            rows = exchange.rows[:MOST_INSTANCES].copy()
        self._queue.put(
            (
                time.time(),
                time.perf_counter() - exchange.began,
                exchange.request_id,
                exchange.caller,
                exchange.route,
                exchange.instances,
                exchange.status,
                exchange.code,
                exchange.trace,
                rows,
            )
        )

    def _write(self, entries: Sequence[tuple[Any, ...]]) -> int:
        return self._output.write([self._line(*entry) for entry in entries])

    def _line(
        self,
        at: float,
        seconds: float,
        request_id: bytes,
        caller: str,
        route: str,
        instances: int,
        status: int,
        code: str,
        trace: Any,
        rows: Any,
    ) -> bytes:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
            "request_id": request_id.decode(),
            "caller": caller or None,
            "route": route,
            **self._model,
            "instances": instances,
            "status": status,
            "code": code or None,
            "latency_ms": round(seconds * 1000, 3),
        }
        if trace is not None:
            line["trace_id"] = trace.trace.decode()
            line["span_id"] = trace.span.decode()
        if rows is not None:
            line["inputs"] = [
                {
                    name: value if shown else MASKED
                    for name, shown, value in zip(self._names, self._features, row, strict=True)
                }
                for row in rows.tolist()
            ]
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


class _Output:
    """Where lines go: whole ones only, to a file that others may have moved away."""

    def __init__(self, destination: str) -> None:
        self._path = None if destination in ("stdout", "stderr") else Path(destination)
        self._stream = sys.stdout if destination == "stdout" else sys.stderr
        self._descriptor = -1
        self._pipe = False
        self._broken = False
        self._looked = 0.0
        self._trouble = ""

    def open(self) -> None:
        """Open it. Raises OSError."""
        if self._path is None:
            self._descriptor = self._stream.fileno()
        else:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o640)
        self._pipe = not stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._looked = time.monotonic()

    def write(self, lines: Sequence[bytes]) -> int:
        """Append the lines; returns how many were not written."""
        try:
            self._follow()
        except OSError as error:
            self._tell(error)
            return len(lines)
        lost = 0
        for piece in self._pieces(lines):
            data = b"".join(piece)
            if self._broken:
                data = b"\n" + data  # what the last attempt left of a line ends here
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
                self._broken = False
                self._trouble = ""
            except OSError as error:
                self._broken = True
                self._tell(error)
                lost += len(piece)
        return lost

    def _pieces(self, lines: Sequence[bytes]) -> list[list[bytes]]:
        if not self._pipe:
            return [list(lines)]
        pieces: list[list[bytes]] = []
        size = _PIPE
        for line in lines:
            size += len(line)
            if size > _PIPE:
                pieces.append([])
                size = len(line)
            pieces[-1].append(line)
        return pieces

    def _follow(self) -> None:
        """Open the file anew when its name means another one now: it was rotated."""
        if self._path is None or time.monotonic() - self._looked < _LOOK_FOR_FILE:
            return
        self._looked = time.monotonic()
        mine = os.fstat(self._descriptor)
        try:
            there = self._path.stat()
            if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                return
        except FileNotFoundError:
            pass
        old = self._descriptor
        self.open()
        self._broken = False
        with contextlib.suppress(OSError):
            os.close(old)

    def _tell(self, error: OSError) -> None:
        if (error.strerror or "") != self._trouble:
            self._trouble = error.strerror or ""
            _log.error("the audit log cannot be written: %s", error.strerror)
