"""The queue before the model, and who goes together.

Nobody waits on an idle server: what has arrived is computed at once, and what arrives meanwhile
is computed together next (`drain`). With `inline` every request is computed by itself. The model
runs in the event loop while its calls are short, which costs least; once they would keep the loop
from its other work they go to a thread.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Sized
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serving.errors import UnfitModel
from serving.http.exchange import Exchange
from serving.http.problems import Refused
from serving.lanes.interface import Lane, Rows, ask
from serving.limits import Limits
from serving.metrics.metrics import Metrics
from serving.readiness import Readiness
from serving.signature import Signature

Mode = Literal["inline", "drain"]

# Calls of at least so many seconds, so many in a row, go to a thread from then on. A machine that
# hesitates once makes one call long, not a row of them.
_LONG = 0.02
_ROW = 3

_NOTHING: NDArray[np.float64] = np.empty((0, 0))

_log = logging.getLogger(__name__)


class Entry:
    """A request's rows, waiting. `data` holds them as float64 (count x features).

    `finish` writes the answer; `misfit` the refusal when a row is out of its range.
    """

    __slots__ = ("count", "data", "exchange", "finish", "misfit", "since")

    def __init__(
        self,
        exchange: Exchange,
        data: Any,
        count: int,
        finish: Callable[[Exchange, Answers, int, int], None],
        misfit: Callable[[Exchange], None],
    ) -> None:
        self.exchange = exchange
        self.data = data
        self.count = count
        self.finish = finish
        self.misfit = misfit
        self.since = perf_counter()


class Answers:
    """What the model answered in one call (rows x classes), shared by the requests in it.

    `texts` is for the routes to share what they write of it. `seconds` is the call's time.
    """

    __slots__ = ("probabilities", "seconds", "texts", "winners")

    def __init__(self, probabilities: Rows, seconds: float) -> None:
        self.probabilities = probabilities
        self.seconds = seconds
        self.winners: list[int] = probabilities.argmax(axis=1).tolist()
        self.texts: Any = None


Outcome = tuple[list[Entry], Answers | UnfitModel]


class Batcher:
    """Gives waiting rows to the model."""

    def __init__(
        self,
        lane: Lane,
        signature: Signature,
        classes: int,
        limits: Limits,
        metrics: Metrics,
        readiness: Readiness,
        mode: Mode = "drain",
    ) -> None:
        self._lane = lane
        self._signature = signature
        self._classes = classes
        self._limits = limits
        self._metrics = metrics
        self._readiness = readiness
        self.mode = mode
        self._most = limits.max_batch if mode == "drain" else 1
        self._queue: deque[Entry] = deque()
        self._rows = 0
        self._scheduled = False
        # Seconds of one call, lately; how many long ones came last without a short one.
        self._call = 0.0
        self._long = 0
        self._thread: ThreadPoolExecutor | None = None
        # The open connections: with a single one there is nobody to wait for.
        self.connections: Sized = ()
        # Whether a hook wants to see what was asked.
        self.keep_rows = False
        readiness.saturated = lambda: self._rows >= limits.max_queue

    @property
    def waiting(self) -> int:
        """How many rows wait."""
        return self._rows

    def long_calls(self) -> None:
        """Take the model's calls for long until they have shown to be short."""
        self._long = _ROW

    def submit(self, entry: Entry) -> None:
        """Answer the entry's request, now or soon. Raises Refused when too many wait already."""
        wait = (1 + self._rows // self._most) * self._call
        if (self._rows and self._rows + entry.count > self._limits.max_queue) or (
            self._rows and wait > self._limits.max_wait
        ):
            raise Refused(
                429,
                "overloaded",
                f"{self._rows} instances wait already. Send less at a time, or later.",
                headers={b"retry-after": str(max(1, math.ceil(wait))).encode()},
            )
        self._queue.append(entry)
        self._rows += entry.count
        if self._scheduled:
            self._metrics.queue.set(self._rows)
            return
        self._scheduled = True
        if len(self.connections) == 1 or self.mode == "inline":
            self._flush()
        else:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        batch, data = self._next()
        try:
            if not batch:
                self._go_on()
                return
            if self._metrics.drift is not None:
                self._metrics.drift.saw(data)
            if self.keep_rows:
                begin = 0
                for entry in batch:
                    entry.exchange.rows = data[begin : begin + entry.count]
                    begin += entry.count
            if self._long < _ROW:
                self._finish(self._compute(batch, data))
                self._go_on()
            else:
                if self._thread is None:
                    self._thread = ThreadPoolExecutor(1, "model")
                loop = asyncio.get_running_loop()
                work = loop.run_in_executor(self._thread, self._compute, batch, data)
                work.add_done_callback(lambda done: self._came_back(done, batch))
        except Exception:
            self._broke(batch)

    def _came_back(self, done: asyncio.Future[list[Outcome]], batch: list[Entry]) -> None:
        try:
            self._finish(done.result())
        except Exception:
            self._broke(batch)
        else:
            self._go_on()

    def _broke(self, batch: list[Entry]) -> None:
        """What must not happen must not stop the queue either."""
        _log.exception("a batch of %d requests failed", len(batch))
        for entry in batch:
            entry.exchange.refuse(
                Refused(500, "internal_error", "The server failed; its log says why.")
            )
        self._go_on()

    def _go_on(self) -> None:
        if self._queue:
            asyncio.get_running_loop().call_soon(self._flush)
        else:
            self._scheduled = False
        self._metrics.queue.set(self._rows)

    def _next(self) -> tuple[list[Entry], NDArray[np.float64]]:
        """The entries that are computed next, checked, and their rows."""
        queue, rows = self._queue, 0
        batch: list[Entry] = []
        now = perf_counter()
        while queue and (not batch or rows + queue[0].count <= self._most):
            entry = queue.popleft()
            self._rows -= entry.count
            if entry.exchange.gone:
                self._metrics.abandoned.add()
                continue
            entry.exchange.waited = now - entry.since
            self._metrics.wait.observe(entry.exchange.waited)
            rows += entry.count
            batch.append(entry)
        if not batch:
            return batch, _NOTHING
        data = self._joined(batch)
        misfits = self._signature.misfits(data)
        if misfits is None:
            return batch, data
        fit = []
        begin = 0
        for entry in batch:
            if misfits[begin : begin + entry.count].any():
                entry.misfit(entry.exchange)
            else:
                fit.append(entry)
            begin += entry.count
        return fit, self._joined(fit) if fit else _NOTHING

    def _joined(self, batch: list[Entry]) -> NDArray[np.float64]:
        data = batch[0].data if len(batch) == 1 else b"".join([entry.data for entry in batch])
        return np.frombuffer(data, np.float64).reshape(-1, self._signature.width)

    def _compute(self, batch: list[Entry], data: Any) -> list[Outcome]:
        """Ask the model; when it fails, each half again, until those are found that it fails on."""
        outcome = self._asked(data)
        if isinstance(outcome, Answers) or len(batch) == 1:
            return [(batch, outcome)]
        half = len(batch) // 2
        rows = sum(entry.count for entry in batch[:half])
        return [
            *self._compute(batch[:half], data[:rows]),
            *self._compute(batch[half:], data[rows:]),
        ]

    def _asked(self, data: NDArray[np.float64]) -> Answers | UnfitModel:
        rows = data.astype(np.float32)
        began = perf_counter()
        try:
            probabilities = ask(self._lane, rows, self._classes)
            if not np.isfinite(probabilities).all():
                raise UnfitModel("the model answers with numbers that are not finite")
        except UnfitModel as error:
            return error
        seconds = perf_counter() - began
        self._long = self._long + 1 if seconds >= _LONG else 0
        self._call += (seconds - self._call) * 0.1
        return Answers(probabilities, seconds)

    def _finish(self, outcomes: list[Outcome]) -> None:
        metrics = self._metrics
        for batch, outcome in outcomes:
            if isinstance(outcome, UnfitModel):
                self._readiness.failed()
                metrics.model_failures.add()
                _log.error(
                    "the model failed on %d valid rows",
                    sum(entry.count for entry in batch),
                    exc_info=outcome,
                )
                for entry in batch:
                    entry.exchange.refuse(
                        Refused(500, "model_failed", "The model failed on valid input.")
                    )
                continue
            self._readiness.succeeded()
            metrics.batch.observe(len(outcome.winners))
            metrics.compute.observe(outcome.seconds)
            metrics.predicted(outcome.winners)
            begin = 0
            for entry in batch:
                end = begin + entry.count
                entry.exchange.computed = outcome.seconds
                entry.finish(entry.exchange, outcome, begin, end)
                begin = end
