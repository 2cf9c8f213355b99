"""Whether the server should get requests, and why not."""

from __future__ import annotations

import time
from collections.abc import Callable

# Calls of the model in a row that fail before it counts as failing on everything.
FAILING = 5
# Seconds between two trials of a model that fails on everything.
_TRIAL = 1.0


class Readiness:
    """`lasting` reasons are those that only a restart can mend; the others come and go."""

    def __init__(self, lasting: tuple[str, ...], clock: Callable[[], float] = time.monotonic):
        self.lasting = lasting
        self.draining = False
        self.saturated: Callable[[], bool] = lambda: False
        # Asks the model its golden inputs, once it fails on everything.
        self.trial: Callable[[], tuple[str, ...]] = lambda: ()
        # Why nobody can be let in.
        self.locked_out: Callable[[], tuple[str, ...]] = tuple
        self._failures = 0
        self._clock = clock
        self._tried = -_TRIAL

    def succeeded(self) -> None:
        """A call of the model was answered."""
        self._failures = 0

    def failed(self) -> None:
        """A call of the model failed."""
        self._failures += 1

    @property
    def failing(self) -> bool:
        """The model fails on everything that it is asked."""
        return self._failures >= FAILING

    def reasons(self) -> tuple[str, ...]:
        """Why the server should get no requests; empty when it should.

        A server that gets no requests cannot show that its model works again: asked while it fails,
        it asks the model its golden inputs.
        """
        found = list(self.lasting)
        if self.failing and self._clock() - self._tried >= _TRIAL:
            self._tried = self._clock()
            if not self.trial():
                self._failures = 0
        if self.failing:
            found.append(f"the model failed on its last {self._failures} calls")
        if self.saturated():
            found.append("the queue is full")
        found += self.locked_out()
        if self.draining:
            found.append("the server is draining")
        return tuple(found)
