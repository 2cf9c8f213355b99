"""The measurement tells a model that gains by a batch from one that does not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving import measure
from serving.lanes.interface import Rows

ROWS = np.ones((3, 4), dtype=np.float32)


class Timed:
    """A lane, and the clock that it moves: `call` seconds a call, and `row` more for each row."""

    name = "timed"

    def __init__(self, call: float, row: float) -> None:
        self.call = call
        self.row = row
        self.now = 0.0

    def predict(self, rows: Rows) -> Rows:
        self.now += self.call + self.row * len(rows)
        return np.full((len(rows), 2), 0.5, dtype=np.float32)

    def perf_counter(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("lane", "mode", "gain"),
    [
        (Timed(0.001, 0.0), "drain", 64),
        (Timed(0.0, 0.001), "inline", 1),
        (Timed(0.0003, 0.001), "drain", 64 * 1.3 / 64.3),
        (Timed(0.0001, 0.001), "inline", 64 * 1.1 / 64.1),
    ],
)
def test_a_batch_is_worth_it_or_not(
    lane: Timed, mode: str, gain: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "time", lane)
    found = measure.measure(lane, ROWS, 2)
    assert found["mode"] == mode
    assert found["gain"] == pytest.approx(gain)
    assert found["row_seconds"] == pytest.approx(lane.call + lane.row)


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving.measure", "--release", str(folder)],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_example_is_measured_in_either_lane(
    make_release: Callable[..., Path], document: dict[str, Any], model_bytes: bytes
) -> None:
    from serving.conversion.convert import convert

    found = run(make_release())
    assert found.returncode == 0, found.stderr
    torch = json.loads(found.stdout.splitlines()[-1])
    content, _ = convert(model_bytes)
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    document["lane"] = {"name": "onnx", "digest": digest}
    folder = make_release(document, content)
    found = run(folder)
    assert found.returncode == 0, found.stderr
    onnx = json.loads(found.stdout.splitlines()[-1])
    for each in (torch, onnx):
        assert each["mode"] in ("drain", "inline")
        assert 0 < each["row_seconds"] <= each["batch_seconds"] * 64


def test_a_release_that_cannot_be_loaded_is_told(make_release: Callable[..., Path]) -> None:
    folder = make_release()
    (folder / "model" / "model.pt2").write_bytes(b"another")
    found = run(folder)
    assert (found.returncode, found.stdout) == (1, "")
    assert "the release names" in found.stderr
