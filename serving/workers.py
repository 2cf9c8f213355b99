"""Several processes that serve on one listening socket, and one that keeps them.

They are forked once the model is loaded: its weights are in memory once, however many serve. What
has threads of its own (a log's writer, the model's second thread) is made after the fork, as
threads do not come along.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from types import FrameType

# A worker that ends sooner than this after its start would only do so again.
_TOO_SOON = 5.0
_TRIES = 3

_log = logging.getLogger("serving.workers")


def serve(count: int, work: Callable[[int], int]) -> int:
    """Run `work(index)` in `count` processes until told to end; the exit code.

    `work` returns its process's exit code, and ends on SIGTERM and SIGINT, which this process hands
    on. One that ends by itself is started again; one that cannot start ends them all, with 1.
    """
    return _Keeper(count, work).keep()


class _Keeper:
    def __init__(self, count: int, work: Callable[[int], int]) -> None:
        self._work = work
        self._count = count
        self._running: dict[int, tuple[int, float]] = {}
        self._tries = dict.fromkeys(range(count), 0)
        self._told: int | None = None

    def keep(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)
        for index in range(self._count):
            self._start(index)
        code = 0
        while self._running:
            pid, status = os.wait()
            if pid not in self._running:
                continue
            index, began = self._running.pop(pid)
            ended = os.waitstatus_to_exitcode(status)
            if self._told is not None:
                code = code or min(1, abs(ended))
                continue
            _log.error("worker %d ended with %d", index, ended)
            soon = time.monotonic() - began < _TOO_SOON
            self._tries[index] = self._tries[index] + 1 if soon else 0
            if self._tries[index] >= _TRIES:
                code = 1
                self._tell(signal.SIGTERM, None)
            else:
                self._start(index)
        return code

    def _start(self, index: int) -> None:
        # A signal between the fork and the worker's own handlers must not be lost, nor find this
        # process's handler in the worker.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
        pid = os.fork()
        if pid:
            self._running[pid] = (index, time.monotonic())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
            return
        code = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
            code = self._work(index)
        except BaseException:
            _log.exception("worker %d failed", index)
        finally:
            logging.shutdown()
            os._exit(code)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        self._told = number
        for pid in self._running:
            os.kill(pid, number)
