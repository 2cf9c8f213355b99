"""The training reference in bins, against which the server measures its inputs' drift."""

from __future__ import annotations

import bisect
import csv
import math
from pathlib import Path
from typing import Any

from pipeline.manifest import Manifest
from pipeline.manifest.values import seconds

# Deciles, as the population stability index is usually taken.
_BINS = 10


def drift_settings(manifest: Manifest) -> dict[str, Any] | None:
    """What the server is told to watch; None when drift detection is off or not possible.

    It is possible where the reference dataset is a CSV file in the manifest's folder, with a column
    of numbers for each monitored feature.
    """
    spec = manifest.model.spec
    detection = spec.monitoring.drift_detection if spec.monitoring is not None else None
    if detection is None or not detection.enabled or detection.window is None:
        return None
    if spec.drift is None or not spec.drift.monitored_features:
        return None
    dataset = spec.drift.reference_dataset
    if dataset is None or "://" in dataset:
        return None
    path = (manifest.folder / dataset).resolve()
    if not path.is_relative_to(manifest.folder.resolve()) or not path.is_file():
        return None
    columns = _columns(path, spec.drift.monitored_features)
    features = [
        {"feature": name, **_binned(values)} for name, values in columns.items() if len(values) > 1
    ]
    if not features:
        return None
    return {"window_seconds": seconds(detection.window), "features": features}


def _columns(path: Path, names: tuple[str, ...]) -> dict[str, list[float]]:
    """The named columns' numbers; none when anything else is among them."""
    found: dict[str, list[float]] = {name: [] for name in names}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                for name in list(found):
                    value = float(row[name])
                    if not math.isfinite(value):
                        raise ValueError(name)
                    found[name].append(value)
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        return {}
    return found


def _binned(values: list[float]) -> dict[str, list[float]]:
    """The inner edges of the deciles, each once, and the share of the values in each bin."""
    values = sorted(values)
    at = (values[math.ceil(len(values) * i / _BINS) - 1] for i in range(1, _BINS))
    # Without an edge at the largest value: above it there is nothing.
    edges = sorted({edge for edge in at if edge < values[-1]}) or [values[0]]
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[bisect.bisect_left(edges, value)] += 1
    return {"edges": edges, "shares": [count / len(values) for count in counts]}
