"""Prometheus metrics of one server process, on a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, generate_latest

from serving.settings import Settings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds: from a small model on an idle machine to the slowest answer that anybody waits for.
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Requests to /predict by status, their duration in seconds, predictions by class."""

    def __init__(self, settings: Settings) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mlifecycle_requests_total",
            "Requests to /predict by HTTP status.",
            ["status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mlifecycle_request_seconds",
            "Time from a request's arrival to its answer.",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        predictions = Counter(
            "mlifecycle_predictions_total",
            "Predicted instances by class.",
            ["prediction"],
            registry=self._registry,
        )
        # every class from the start: a rate over a series that appears late misses its first step
        self._predictions = {name: predictions.labels(name) for name in settings.classes}
        Info("mlifecycle_model", "The served model.", registry=self._registry).info(
            {
                "name": settings.name,
                "version": settings.version,
                "digest": settings.digest,
                "release": settings.release,
            }
        )

    def answered(self, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def predicted(self, name: str) -> None:
        """Count one instance predicted as class `name`."""
        self._predictions[name].inc()

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)
