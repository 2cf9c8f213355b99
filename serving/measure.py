"""What a row costs alone and in a batch: python -m serving.measure --release FOLDER.

The build runs it in the release's own environment and lets the result decide how the server asks
the model: `drain`, rows that wait are computed together; or `inline`, each request by itself. It
prints one JSON object on the last line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from serving import settings as settings_of
from serving.errors import ServingError
from serving.lanes.interface import Lane, Rows, ask
from serving.model import load

BATCH = 64
# How many times cheaper a row must be in a batch. A batch makes callers wait for each other's
# rows: where that wins next to nothing, nobody should have to.
WORTH = 1.2
_ROUNDS = 9
_SECONDS = 0.08  # that one round takes


def measure(lane: Lane, rows: Rows, classes: int) -> dict[str, Any]:
    """Seconds of one call with a row and with BATCH rows, and the mode that follows.

    The two take turns, so that what slows the machine slows both; medians of the rounds count.
    """
    one, many = rows[:1], np.ascontiguousarray(np.resize(rows, (BATCH, rows.shape[1])))
    calls = [lambda: ask(lane, one, classes), lambda: ask(lane, many, classes)]
    for call in calls:
        _seconds(call)
    rounds = [[_seconds(call) for call in calls] for _ in range(_ROUNDS)]
    alone, together = (statistics.median(times) for times in zip(*rounds, strict=True))
    gain = BATCH * alone / together
    return {
        "mode": "drain" if gain >= WORTH else "inline",
        "batch": BATCH,
        "row_seconds": alone,
        "batch_seconds": together,
        "gain": gain,
        "worth": WORTH,
    }


def _seconds(call: Callable[[], object]) -> float:
    """What one call takes, of as many as fit into a round."""
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < _SECONDS or not count:
        call()
        count += 1
    return passed / count


def main(folder: Path) -> int:
    """Measure the release in `folder` and print the result; 1 when it cannot be loaded."""
    try:
        settings = settings_of.load(folder, "sha256:" + "0" * 64)
        lane = load(settings)
        instances = [golden.instance for golden in settings.golden_inputs]
        rows = np.array(
            [[each[feature.name] for feature in settings.inputs] for each in instances],
            dtype=np.float32,
        )
        print(json.dumps(measure(lane, rows, len(settings.classes)), sort_keys=True))
    except ServingError as error:
        print(f"serving: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m serving.measure", description=__doc__)
    parser.add_argument("--release", type=Path, required=True, help="the release's folder")
    sys.exit(main(parser.parse_args().release))
