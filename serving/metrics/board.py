"""Numbers that all workers of a server write side by side, and each of them can add up.

Every worker has a block of its own in one piece of shared memory, made before the workers are: it
writes without a lock, a scrape of any worker adds the blocks up, and what a worker that ended has
counted stays counted.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Board:
    """Blocks of float64 cells. Cells are taken first, then it is opened, then workers write."""

    def __init__(self) -> None:
        self.size = 0
        self.cells: memoryview[float] = memoryview(bytearray()).cast("d")
        self._shared = self.cells

    def take(self, count: int) -> int:
        """The first of `count` new cells."""
        first = self.size
        self.size += count
        return first

    def open(self, workers: int) -> None:
        """Make room for `workers` blocks. This process writes the first one until it is told."""
        self._shared = memoryview(mmap.mmap(-1, max(1, self.size * workers) * 8)).cast("d")
        self.write_as(0)

    def write_as(self, worker: int) -> None:
        """Write the block of that worker from now on."""
        self.cells = self._shared[worker * self.size : (worker + 1) * self.size]

    def blocks(self) -> NDArray[np.float64]:
        """A copy of everything (workers x cells)."""
        return np.asarray(self._shared).reshape(-1, max(1, self.size)).copy()


class Counter:
    """A number that only grows."""

    __slots__ = ("_board", "cell")

    def __init__(self, board: Board) -> None:
        self._board = board
        self.cell = board.take(1)

    def add(self, amount: float = 1.0) -> None:
        """Count `amount`."""
        self._board.cells[self.cell] += amount


class Gauge(Counter):
    """A number that is set; the workers' are added up."""

    __slots__ = ()

    def set(self, value: float) -> None:
        """It is `value` now."""
        self._board.cells[self.cell] = value


class Histogram:
    """How many observations fell below each bound, and their sum."""

    __slots__ = ("_board", "bounds", "cell", "sum_cell")

    def __init__(self, board: Board, bounds: Sequence[float]) -> None:
        self._board = board
        self.bounds = tuple(bounds)
        self.cell = board.take(len(self.bounds) + 1)
        self.sum_cell = board.take(1)

    def observe(self, value: float) -> None:
        """Count one observation."""
        cells = self._board.cells
        cells[self.cell + bisect_left(self.bounds, value)] += 1.0
        cells[self.sum_cell] += value
