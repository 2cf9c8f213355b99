"""Everything that the server counts."""

from __future__ import annotations

import collections
from collections.abc import Sequence

from serving.metrics.board import Board, Counter, Gauge, Histogram
from serving.metrics.drift import Drift
from serving.settings import Settings

# Seconds: from a small model on an idle machine to the slowest answer that anybody waits for.
SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
STATUSES = (200, 400, 401, 403, 404, 405, 408, 411, 413, 415, 422, 429, 431, 500, 503)
OTHER = "other"


class Lost:
    """What a log could not keep: because its queue was `full`, or it could not be written."""

    def __init__(self, board: Board) -> None:
        self.full = Counter(board)
        self.unwritten = Counter(board)


class Metrics:
    """The server's numbers; `workers` processes count side by side."""

    def __init__(self, settings: Settings, routes: Sequence[str], workers: int = 1) -> None:
        board = Board()
        self.board = board
        self.settings = settings
        names = (*routes, OTHER)
        self.requests = {
            (route, status): Counter(board) for route in names for status in (*STATUSES, 0)
        }
        self.seconds = {route: Histogram(board, SECONDS) for route in names}
        self.errors = {code: Counter(board) for code in (*CODES, OTHER)}
        self.batch = Histogram(board, ROWS)
        self.wait = Histogram(board, SECONDS)
        self.compute = Histogram(board, SECONDS)
        self.queue = Gauge(board)
        self.connections = Gauge(board)
        # every class from the start: a rate over a series that appears late misses its first step
        self.classes = [Counter(board) for _ in settings.classes]
        self.model_failures = Counter(board)
        self.abandoned = Counter(board)
        self.audit_lost = Lost(board)
        self.traces_lost = Lost(board)
        drift = settings.drift
        self.drift = Drift(board, drift.references, drift.window) if drift is not None else None
        board.open(workers)

    def answered(self, route: str, status: int, code: str, seconds: float) -> None:
        """Count one request of `route`, and `code` when it got an error."""
        counter = self.requests.get((route, status))
        if counter is None:
            counter = self.requests[route if (route, 0) in self.requests else OTHER, 0]
        counter.add()
        self.seconds.get(route, self.seconds[OTHER]).observe(seconds)
        if code:
            self.errors.get(code, self.errors[OTHER]).add()

    def predicted(self, winners: Sequence[int]) -> None:
        """Count the rows whose class is known, by the class's index."""
        for winner, count in collections.Counter(winners).items():
            self.classes[winner].add(count)


# Every code that an error of ours carries.
CODES = (
    *(
        "body_too_large",
        "headers_too_large",
        "incomplete_body",
        "invalid_http",
        "invalid_instances",
    ),
    *("invalid_json", "invalid_request", "invalid_tensor", "internal_error", "media_type"),
    *("method_not_allowed", "model_failed", "not_found", "not_ready", "overloaded", "timeout"),
    *("too_many_connections", "too_many_instances", "unauthenticated", "rate_limited"),
    "credentials_unavailable",
)
