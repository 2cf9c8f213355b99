"""Waiting for a lock file without holding up everything else that runs in this process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio

from pipeline.errors import EnvironmentFailed
from pipeline.state import locked


@contextlib.asynccontextmanager
async def exclusively(
    path: Path, *, wait: float, on_wait: Callable[[str], None]
) -> AsyncIterator[None]:
    """`state.locked` for tasks: of all that share the state folder, one at a time.

    Waits up to `wait` seconds, then raises EnvironmentFailed. `on_wait` is told once.
    """
    deadline = time.monotonic() + wait
    told = False
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(locked(path, wait=0))
                break
            except EnvironmentFailed as error:
                if time.monotonic() >= deadline:
                    raise
                if not told:
                    on_wait(error.message)
                    told = True
            await anyio.sleep(0.1)
        yield
