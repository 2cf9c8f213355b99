"""A bounded queue from the event loop to a thread that writes down what is in it.

Whoever puts something in never waits and wakes nobody: the thread looks by itself, so that a
request pays for one append.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

_T = TypeVar("_T")
# Seconds between two looks of the thread.
_LOOK = 0.02

_log = logging.getLogger("serving.record")


class Counting(Protocol):
    """A number that grows."""

    def add(self, amount: float = 1.0) -> None:
        """Count `amount`."""


class Lost(Protocol):
    """What counts what could not be kept: the queue was full, or it could not be written."""

    @property
    def full(self) -> Counting: ...

    @property
    def unwritten(self) -> Counting: ...


class Drained(Generic[_T]):
    """`write` is called from a thread with up to `chunk` things at a time.

    It returns how many of them it could not write. What finds the queue full is counted in the
    event loop, what is not written is counted in the thread: no count has two writers.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[_T]], int],
        lost: Lost,
        most: int,
        chunk: int,
    ) -> None:
        self._name = name
        self._write = write
        self._lost = lost
        self._most = most
        self._chunk = chunk
        self._queue: deque[_T] = deque()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, thing: _T) -> None:
        """Write it down some time soon, or count it as lost."""
        if len(self._queue) >= self._most:
            self._lost.full.add()
        else:
            self._queue.append(thing)

    def start(self) -> None:
        """Begin to write. To be called in the process that serves."""
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self, within: float) -> None:
        """Write what is left, for `within` seconds at most; the rest is lost."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(within)
        if left := len(self._queue):
            self._lost.unwritten.add(left)
            _log.error("%s: %d entries could not be written at the end", self._name, left)

    def _run(self) -> None:
        queue = self._queue
        while True:
            ending = self._ending.is_set()
            while queue:
                things = [queue.popleft() for _ in range(min(self._chunk, len(queue)))]
                try:
                    lost = self._write(things)
                except Exception:
                    _log.exception("%s: %d entries are lost", self._name, len(things))
                    lost = len(things)
                if lost:
                    self._lost.unwritten.add(lost)
            if ending:
                return
            self._ending.wait(_LOOK)
