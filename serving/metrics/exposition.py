"""The numbers in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from serving.metrics.board import Histogram
from serving.metrics.metrics import OTHER, Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(metrics: Metrics, ready: bool, lane: str) -> bytes:
    """All of it, added up over the workers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(metrics, ready, lane))
    return generate_latest(registry)


class _Snapshot(Collector):
    def __init__(self, metrics: Metrics, ready: bool, lane: str) -> None:
        self._metrics = metrics
        self._ready = ready
        self._lane = lane
        self._sums = metrics.board.blocks().sum(axis=0)

    def collect(self) -> Iterator[Metric]:
        metrics, sums = self._metrics, self._sums
        requests = CounterMetricFamily(
            "mlifecycle_requests", "Requests by route and HTTP status.", labels=["route", "status"]
        )
        for (route, status), counter in metrics.requests.items():
            # Those that never came are left out, but not the good ones: a rate over a series that
            # appears late misses its first step.
            if sums[counter.cell] or status == 200:
                requests.add_metric([route, str(status or OTHER)], sums[counter.cell])
        yield requests
        seconds = HistogramMetricFamily(
            "mlifecycle_request_duration_seconds",
            "Time from a request's head to its answer.",
            labels=["route"],
        )
        for route, histogram in metrics.seconds.items():
            seconds.add_metric([route], *self._buckets(histogram))
        yield seconds
        errors = CounterMetricFamily(
            "mlifecycle_errors", "Errors answered, by code.", labels=["code"]
        )
        for code, counter in metrics.errors.items():
            errors.add_metric([code], sums[counter.cell])
        yield errors
        for name, text, histogram in (
            ("batch_rows", "Rows in one call of the model.", metrics.batch),
            ("queue_wait_seconds", "Time in the queue before the model.", metrics.wait),
            ("model_duration_seconds", "Time of one call of the model.", metrics.compute),
        ):
            family = HistogramMetricFamily(f"mlifecycle_{name}", text)
            family.add_metric([], *self._buckets(histogram))
            yield family
        for name, text, counter in (
            ("queue_rows", "Rows that wait for the model.", metrics.queue),
            ("connections", "Open connections.", metrics.connections),
        ):
            yield GaugeMetricFamily(f"mlifecycle_{name}", text, sums[counter.cell])
        for name, text, counter in (
            ("model_failures", "Calls of the model that failed.", metrics.model_failures),
            (
                "abandoned_requests",
                "Requests whose caller left before the model was asked.",
                metrics.abandoned,
            ),
        ):
            yield CounterMetricFamily(f"mlifecycle_{name}", text, sums[counter.cell])
        for name, text, lost in (
            ("audit_lost_lines", "Lines that the audit log lacks, by reason.", metrics.audit_lost),
            ("lost_spans", "Spans that were not exported, by reason.", metrics.traces_lost),
        ):
            losses = CounterMetricFamily(f"mlifecycle_{name}", text, labels=["reason"])
            losses.add_metric(["queue_full"], sums[lost.full.cell])
            losses.add_metric(["not_written"], sums[lost.unwritten.cell])
            yield losses
        yield GaugeMetricFamily(
            "mlifecycle_ready", "1 when the server takes requests.", float(self._ready)
        )
        predictions = CounterMetricFamily(
            "mlifecycle_predictions", "Predicted instances by class.", labels=["prediction"]
        )
        for name, counter in zip(metrics.settings.classes, metrics.classes, strict=True):
            predictions.add_metric([name], sums[counter.cell])
        yield predictions
        if metrics.drift is not None:
            drift = GaugeMetricFamily(
                "mlifecycle_feature_drift_psi",
                "Population stability index of a feature's inputs against the training reference.",
                labels=["feature"],
            )
            for feature, index in metrics.drift.indices().items():
                drift.add_metric([feature], index)
            yield drift
        settings = metrics.settings
        yield InfoMetricFamily(
            "mlifecycle_model",
            "The served model.",
            {
                "name": settings.name,
                "version": settings.version,
                "digest": settings.digest,
                "release": settings.release,
                "lane": self._lane,
            },
        )

    def _buckets(self, histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
        last = histogram.cell + len(histogram.bounds)
        counts = np.cumsum(self._sums[histogram.cell : last + 1])
        names = [*(f"{float(bound)}" for bound in histogram.bounds), "+Inf"]
        buckets = [(name, float(count)) for name, count in zip(names, counts, strict=True)]
        return buckets, float(self._sums[histogram.sum_cell])
