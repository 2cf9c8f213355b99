"""Requests that go on while something else happens, and what became of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Load:
    """Asks without a pause, from two threads, for as long as its context lasts."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._ask = ask
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._go_on) for _ in range(2)]

    def _go_on(self) -> None:
        while not self._end.is_set():
            try:
                self._ask()
                self.answers += 1
            except (OSError, ValueError) as error:
                self.failures.append(str(error))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(60)
