"""What every lane offers, and the one way to ask it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from serving.errors import UnfitModel

Rows = NDArray[np.float32]


class Lane(Protocol):
    """A loaded model. It is asked by one thread at a time."""

    @property
    def name(self) -> str:
        """The lane's name, as /model/info and the metrics tell it."""

    def predict(self, rows: Rows) -> Rows:
        """Probabilities (n x classes, float32) for `rows` (n x features, float32, C order).

        May raise anything: an operator may fail on values that it does not take.
        """


def ask(lane: Lane, rows: Rows, classes: int) -> Rows:
    """What `lane` answers, of the shape that was promised; raises UnfitModel.

    A row may still hold numbers that are not finite: that is its own failure, not the batch's.
    """
    try:
        answers = lane.predict(rows)
    except Exception as error:
        raise UnfitModel(f"the model fails on valid rows: {first_line(error)}") from error
    if answers.shape != (len(rows), classes):
        raise UnfitModel(
            f"the model answers {len(rows)} rows with the shape {tuple(answers.shape)} instead "
            f"of {(len(rows), classes)}"
        )
    return answers


def first_line(error: Exception) -> str:
    """The kind of `error` and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
