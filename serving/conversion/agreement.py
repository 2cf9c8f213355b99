"""Whether ONNX Runtime answers as torch does, on rows that are given."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from serving.lanes.interface import Lane, Rows

MAX_ROWS = 200_000
_BATCH = 256


class InvalidRows(Exception):
    """The held-out rows cannot be read; the message names the line."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far the two are apart: the largest difference of a probability, and on how many rows
    another class comes first. `finite` is false when either answered with what is no number."""

    rows: int
    largest: float
    other_class: int
    finite: bool

    def within(self, tolerance: float) -> bool:
        """Whether it is near enough to call the two one model."""
        return self.finite and self.other_class == 0 and self.largest <= tolerance


def compare(module: Any, lane: Lane, rows: Rows) -> Comparison:
    """Ask both for `rows` (n x features), as single rows and in batches, as a server does."""
    largest, other, finite = 0.0, 0, True
    sizes = [1] * min(len(rows), 32) + [_BATCH] * math.ceil(len(rows) / _BATCH)
    start = 0
    for size in sizes:
        batch = np.ascontiguousarray(rows[start : start + size])
        start = (start + size) if start + size < len(rows) else 0
        with torch.inference_mode():
            expected = module(torch.from_numpy(batch)).numpy().astype(np.float64)
        found = lane.predict(batch).astype(np.float64)
        if expected.shape != found.shape:
            return Comparison(len(rows), math.inf, len(rows), finite=False)
        finite = finite and bool(np.isfinite(expected).all() and np.isfinite(found).all())
        if finite:
            largest = max(largest, float(np.abs(expected - found).max()))
            other += _other_class(expected, found)
    return Comparison(len(rows), largest, other, finite)


def _other_class(expected: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> int:
    """On how many rows another class comes first. Equal probabilities are no difference."""
    chosen = found.argmax(axis=1)
    best = expected.max(axis=1)
    at_chosen = expected[np.arange(len(expected)), chosen]
    return int((best - at_chosen > 1e-6).sum())


def read_rows(path: Path, features: Sequence[str]) -> Rows:
    """The columns `features` of a CSV file with a head (n x features); raises InvalidRows."""
    rows: list[list[float]] = []
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            table = csv.DictReader(lines)
            if absent := [name for name in features if name not in (table.fieldnames or ())]:
                raise InvalidRows(f"line 1 has no column {absent[0]!r}")
            for number, line in enumerate(table, start=2):
                if len(rows) == MAX_ROWS:
                    raise InvalidRows(f"it has more than {MAX_ROWS} rows")
                rows.append([_number(line[name], name, number) for name in features])
    except (OSError, ValueError, csv.Error) as error:
        raise InvalidRows(f"it is no CSV file: {error}") from error
    if not rows:
        raise InvalidRows("it holds no row")
    return np.array(rows, dtype=np.float32)


def _number(text: Any, name: str, line: int) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InvalidRows(f"line {line} has {text!r} for {name!r} instead of a number")
    return value
