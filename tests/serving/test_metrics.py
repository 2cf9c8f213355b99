"""What is counted is what happened, and drift is measured as the textbook says."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from live import Model, application, live
from prometheus_client.parser import text_string_to_metric_families
from served_example import RELEASE

from serving import settings
from serving.errors import InvalidSettings
from serving.lanes.interface import Lane
from serving.metrics.board import Board, Counter, Histogram
from serving.metrics.drift import ENOUGH, Drift, psi
from serving.settings import DriftReference, Settings

REFERENCE = DriftReference("amount", 0, (1.0, 2.0), (0.5, 0.25, 0.25))


def test_workers_count_in_blocks_of_their_own() -> None:
    board = Board()
    counter, histogram = Counter(board), Histogram(board, (1, 2))
    board.open(2)
    counter.add()
    board.write_as(1)
    counter.add(2)
    for value in (0.5, 1, 1.5, 9):
        histogram.observe(value)
    assert board.blocks()[:, counter.cell].tolist() == [1, 2]
    sums = board.blocks().sum(axis=0)
    assert sums[histogram.cell : histogram.cell + 3].tolist() == [2, 1, 1]
    assert sums[histogram.sum_cell] == 12


def test_the_index_is_that_of_the_textbook() -> None:
    assert psi(np.array([50.0, 25, 25]), (0.5, 0.25, 0.25)) == 0
    shares = [(0.2, 0.5), (0.4, 0.25), (0.4, 0.25)]
    expected = sum((p - q) * math.log(p / q) for p, q in shares)
    assert psi(np.array([20.0, 40, 40]), (0.5, 0.25, 0.25)) == pytest.approx(expected)
    assert math.isfinite(psi(np.array([100.0, 0, 0]), (0.5, 0.25, 0.25)))


def test_names_are_as_prometheus_wants_them(served: tuple[Settings, Lane]) -> None:
    with live(application(served[0], Model())) as running:
        running.ask("/predict", {"instances": [[0.5, 1, 1, 0.5, 1, 1, 1, 1, 1]]})
        connection = running.connection()
        connection.request("GET", "/metrics")
        families = list(text_string_to_metric_families(connection.getresponse().read().decode()))
        connection.close()
    assert len({family.name for family in families}) == len(families) > 10
    for family in families:
        assert family.name.startswith("mlifecycle_")
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        if "duration" in family.name or "wait" in family.name:
            assert family.name.endswith("_seconds")
        if family.type == "histogram":
            for labels in {
                tuple(s.labels.items()) for s in family.samples if s.name.endswith("_count")
            }:
                counts = [
                    s.value
                    for s in family.samples
                    if s.name.endswith("_bucket")
                    and labels == tuple(item for item in s.labels.items() if item[0] != "le")
                ]
                assert counts == sorted(counts)
        if family.type == "counter":
            assert {s.name for s in family.samples} <= {f"{family.name}_total"}


class Watched:
    def __init__(self, workers: int = 1) -> None:
        self.now = 1000.0
        self.board = Board()
        self.drift = Drift(self.board, [REFERENCE], 60, lambda: self.now)
        self.board.open(workers)

    def saw(self, *values: float) -> None:
        self.drift.saw(np.array([[value, 0] for value in values]))


def test_drift_is_that_of_the_window() -> None:
    watched = Watched()
    assert watched.drift.indices() == {}
    watched.saw(*[9.0] * ENOUGH)
    assert watched.drift.indices()["amount"] > 1
    watched.now += 30
    watched.saw(*[0.5] * 2 * ENOUGH, *[1.5] * ENOUGH, *[2.5] * ENOUGH)
    mixed = watched.drift.indices()["amount"]
    assert 0 < mixed < 0.2
    watched.now += 35  # the first have left the window
    assert watched.drift.indices()["amount"] == pytest.approx(0)
    watched.now += 60
    assert watched.drift.indices() == {}


def test_a_value_on_an_edge_is_in_the_bin_below() -> None:
    watched = Watched()
    watched.saw(*[1.0] * 50, *[2.0] * 25, *[3.0] * 25)
    assert watched.drift.indices()["amount"] == pytest.approx(0)


def test_drift_is_that_of_all_workers() -> None:
    watched = Watched(workers=2)
    watched.saw(*[0.5] * ENOUGH)
    watched.drift.count()
    watched.board.write_as(1)
    watched.saw(*[1.5] * (ENOUGH // 2), *[2.5] * (ENOUGH // 2))
    assert watched.drift.indices()["amount"] == pytest.approx(0)


def test_the_server_shows_the_drift_of_what_it_was_asked(served: tuple[Settings, Lane]) -> None:
    watched = replace(served[0], drift=settings.Drift(3600, (REFERENCE,)))
    with live(application(watched, Model())) as running:
        row = [1, 1, 0.5, 1, 1, 1, 1, 1]
        name = 'mlifecycle_feature_drift_psi{feature="amount"}'
        for amount, count in ((0.5, 50), (1.5, 25), (2.5, 25)):
            body = {"instances": [[amount, *row]] * count}
            assert running.ask("/predict", body)[0] == 200
        assert running.metric(name) == pytest.approx(0, abs=1e-9)
        running.ask("/predict", {"instances": [[99, *row]] * 900})
        assert running.metric(name) > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window_seconds": 0}, "window_seconds"),
        ({"features": []}, "features"),
        ({"unknown": 1}, "unknown"),
        ({"features": [{"feature": "x", "edges": [1], "shares": [0.5, 0.5]}]}, "'x'"),
        ({"features": [{"feature": "amount", "edges": [1], "shares": [1]}]}, "a share for each"),
        ({"features": [{"feature": "amount", "edges": [2, 1], "shares": [1, 0, 0]}]}, "ascending"),
        ({"features": [{"feature": "amount", "edges": [1], "shares": [0.5, 0.6]}]}, "make 1"),
    ],
)
def test_drift_settings_are_read_strictly(
    change: dict[str, Any], message: str, document: dict[str, Any], make_release: Any
) -> None:
    good = {"feature": "amount", "edges": [1.0, 2.0], "shares": [0.5, 0.25, 0.25]}
    document["drift"] = {"window_seconds": 60, "features": [good]}
    assert settings.load(make_release(document), RELEASE).drift is not None
    document["drift"] |= change
    with pytest.raises(InvalidSettings, match=message):
        settings.load(make_release(json.loads(json.dumps(document))), RELEASE)
