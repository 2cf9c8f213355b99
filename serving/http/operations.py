"""The routes for whoever operates the server: alive, ready, what is served, what was counted."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson

from serving.batching import Batcher
from serving.http.exchange import Exchange
from serving.limits import Limits
from serving.metrics.metrics import Metrics
from serving.readiness import Readiness
from serving.settings import Settings


def health(exchange: Exchange) -> None:
    """The process and its event loop answer."""
    exchange.reply(200, b'{"status":"ok"}')


class Ready:
    """The server should get requests."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def __call__(self, exchange: Exchange) -> None:
        """Say why not, if not."""
        reasons = self._readiness.reasons()
        if reasons:
            exchange.reply(503, orjson.dumps({"status": "not ready", "reasons": reasons}))
        else:
            exchange.reply(200, b'{"status":"ready"}')


class Info:
    """What is served, by its digests, and what it takes and answers."""

    def __init__(self, settings: Settings, lane: str, batcher: Batcher, limits: Limits) -> None:
        self._body = orjson.dumps(_info(settings, lane, batcher, limits))

    def __call__(self, exchange: Exchange) -> None:
        """Tell it."""
        exchange.reply(200, self._body)


class Exposition:
    """Prometheus' metrics."""

    def __init__(self, metrics: Metrics, readiness: Readiness, lane: str) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._lane = lane

    def __call__(self, exchange: Exchange) -> None:
        """Show them."""
        # With the first scrape: half of what else the server imports, for nobody who scrapes not.
        from serving.metrics.exposition import CONTENT_TYPE, exposition

        body = exposition(self._metrics, not self._readiness.reasons(), self._lane)
        exchange.reply(200, body, CONTENT_TYPE.encode())


def _info(settings: Settings, lane: str, batcher: Batcher, limits: Limits) -> dict[str, Any]:
    return {
        "name": settings.name,
        "version": settings.version,
        "description": settings.description,
        "framework": settings.framework,
        "digest": settings.digest,
        "release": settings.release,
        "lane": lane,
        "batch_mode": batcher.mode,
        "signature": {
            "inputs": [asdict(feature) for feature in settings.inputs],
            "classes": list(settings.classes),
        },
        "limits": {
            "max_body_bytes": limits.max_body,
            "max_instances": limits.max_instances,
            "max_batch": limits.max_batch,
            "max_queue": limits.max_queue,
        },
        "max_instances": limits.max_instances,
    }
