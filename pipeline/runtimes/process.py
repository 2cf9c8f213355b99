"""One child process with its descendants: bounded in time and output, and gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

GRACE = 2.0  # seconds between asking a process group to end and ending it


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended; an exit code below zero is the signal that did it."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool


async def run(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    timeout: float,  # noqa: ASYNC109 - the limit is part of the result, not a cancellation
    limit: int,
) -> Ended:
    """Run `command` in a session of its own, for at most `timeout` seconds.

    A stream that exceeds `limit` bytes is cut there and the process is ended. Whatever the
    process started in its group is ended with it, also when this task is cancelled.
    """
    loop = asyncio.get_running_loop()
    transport, watched = await loop.subprocess_exec(
        lambda: _Watched(limit),
        *command,
        cwd=cwd,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    pid = transport.get_pid()
    timed_out = False
    try:
        try:
            await asyncio.wait_for(watched.done(), timeout)
        except TimeoutError:
            timed_out = True
        if not watched.exited.is_set():
            _signal_group(pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(watched.exited.wait(), GRACE)
    finally:
        # Descendants too, which would hold the pipes open and live on.
        _signal_group(pid, signal.SIGKILL)
    await watched.exited.wait()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(watched.closed.wait(), GRACE)
    transport.close()
    code = transport.get_returncode()
    return Ended(
        exit_code=-signal.SIGKILL if code is None else code,
        stdout=bytes(watched.streams[1]),
        stderr=bytes(watched.streams[2]) + watched.note(),
        timed_out=timed_out,
    )


class _Watched(asyncio.SubprocessProtocol):
    """Collects the output; tells the end of the process from the end of its pipes.

    asyncio's own `Process.wait` waits for both on Python 3.11, and so for every descendant.
    """

    def __init__(self, limit: int) -> None:
        self.streams = {1: bytearray(), 2: bytearray()}
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._flooded = asyncio.Event()
        self._limit = limit

    async def done(self) -> None:
        """Until the process ends or has written too much."""
        ends = [asyncio.ensure_future(e.wait()) for e in (self.exited, self._flooded)]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    def note(self) -> bytes:
        if not self._flooded.is_set():
            return b""
        return f"\nended: it wrote more than {self._limit} bytes".encode()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        stream = self.streams[fd]
        room = self._limit - len(stream)
        stream += data[:room]
        if len(data) > room:
            self._flooded.set()

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()


def _signal_group(pid: int, which: signal.Signals) -> None:
    # The group is gone, or (on macOS) only its unreaped leader is left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, which)
