"""How far the inputs of the last while are from the training reference.

The measure is the population stability index: over the bins of a feature, the sum of
(p - q) * ln(p / q), where q is the share of the reference in a bin and p that of the inputs. The
usual reading: below 0.1 no change, above 0.2 a change that matters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.metrics.board import Board
from serving.settings import DriftReference

# The window moves in steps of a sixth: old inputs leave it step by step.
_STEPS = 6
# Inputs wait until so many are there: counting them costs less at once.
_HELD = 4096
# Below this many inputs the index says more about chance than about drift.
ENOUGH = 100
# An empty bin would make the index infinite.
_LEAST = 1e-4


def psi(counts: NDArray[np.float64], shares: Sequence[float]) -> float:
    """The population stability index of `counts` against the reference's `shares`."""
    found = np.maximum(counts / counts.sum(), _LEAST)
    expected = np.maximum(np.asarray(shares), _LEAST)
    return float(((found - expected) * np.log(found / expected)).sum())


class Drift:
    """Counts inputs by bin over a window of `window` seconds."""

    def __init__(
        self,
        board: Board,
        references: Sequence[DriftReference],
        window: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self.references = tuple(references)
        self._step = window / _STEPS
        self._clock = clock
        self._held: list[NDArray[Any]] = []
        self._rows = 0
        self._bins = [len(reference.shares) for reference in self.references]
        # Each step's cells: which step of time it counts, then every feature's bins.
        self._width = 1 + sum(self._bins)
        self._first = board.take(_STEPS * self._width)

    def saw(self, rows: NDArray[Any]) -> None:
        """The model was asked about `rows` (n x features); the array must not change later."""
        self._held.append(rows)
        self._rows += len(rows)
        if self._rows >= _HELD:
            self.count()

    def count(self) -> None:
        """Count what is held."""
        if not self._held:
            return
        rows = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        self._held, self._rows = [], 0
        step = int(self._clock() / self._step)
        first = self._first + step % _STEPS * self._width
        cells = np.asarray(self._board.cells)[first : first + self._width]
        if cells[0] != step:
            cells[:] = 0
            cells[0] = step
        place = 1
        for reference, bins in zip(self.references, self._bins, strict=True):
            found = np.searchsorted(reference.edges, rows[:, reference.column])
            cells[place : place + bins] += np.bincount(found, minlength=bins)
            place += bins

    def indices(self) -> dict[str, float]:
        """Each feature's index, of all workers' inputs; empty while there are too few."""
        self.count()
        blocks = self._board.blocks()[:, self._first : self._first + _STEPS * self._width]
        steps = blocks.reshape(-1, self._width)
        now = int(self._clock() / self._step)
        window = steps[(steps[:, 0] > now - _STEPS) & (steps[:, 0] <= now), 1:].sum(axis=0)
        found = {}
        place = 0
        for reference, bins in zip(self.references, self._bins, strict=True):
            counts = window[place : place + bins]
            if counts.sum() >= ENOUGH:
                found[reference.feature] = psi(counts, reference.shares)
            place += bins
        return found
