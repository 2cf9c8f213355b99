"""Spans for OpenTelemetry, exported over OTLP/HTTP when a collector is named.

A span is put together from what is known at the end of a request, in a thread: the library's own
tracer would take longer than a small model. Its packages are imported only when there is a
collector. The variables are OpenTelemetry's own: OTEL_EXPORTER_OTLP_* and OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER with OTEL_TRACES_SAMPLER_ARG.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.errors import InvalidConfiguration
from serving.http.exchange import Exchange
from serving.record.context import TraceContext
from serving.record.queue import Drained, Lost
from serving.settings import Settings

MOST_WAITING = 4096
_CHUNK = 64
FLUSH = 5.0  # seconds for what waits at the end

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SAMPLER, _SAMPLER_ARG = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
# For each sampler: whether the caller's decision counts, and the share without one (None: given).
_SAMPLERS: dict[str, tuple[bool, float | None]] = {
    "always_on": (False, 1.0),
    "always_off": (False, 0.0),
    "traceidratio": (False, None),
    "parentbased_always_on": (True, 1.0),
    "parentbased_always_off": (True, 0.0),
    "parentbased_traceidratio": (True, None),
}
_log = logging.getLogger("serving.record")


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which traces are recorded: the caller says, where `by_parent`; else `share` of them."""

    by_parent: bool = True
    share: float = 1.0

    def decide(self, context: TraceContext) -> None:
        """Set `context.sampled`."""
        if self.by_parent and context.parent is not None:
            return
        # The lower half of the trace's id, as all of OpenTelemetry's samplers take it.
        context.sampled = int(context.trace[16:], 16) < self.share * 2**64


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether a collector is named, and tracing not turned off."""
    off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    none = environ.get("OTEL_TRACES_EXPORTER", "").lower() == "none"
    return not off and not none and any(environ.get(name) for name in _ENDPOINTS)


def sampling(environ: Mapping[str, str]) -> Sampling:
    """The sampler that the environment asks for. Raises InvalidConfiguration."""
    name = environ.get(_SAMPLER) or "parentbased_always_on"
    if name not in _SAMPLERS:
        raise InvalidConfiguration(f"{_SAMPLER} is {name!r} instead of one of {list(_SAMPLERS)}")
    by_parent, share = _SAMPLERS[name]
    if share is None:
        text = environ.get(_SAMPLER_ARG) or "1.0"
        try:
            share = float(text)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise InvalidConfiguration(f"{_SAMPLER_ARG} is {text!r} instead of a share from 0 to 1")
    return Sampling(by_parent, share)


class Traces:
    """Hears of answers and exports a span for each one that is sampled."""

    wants_rows = False

    def __init__(self, settings: Settings, lost: Lost) -> None:
        self._queue: Drained[tuple[Any, ...]] = Drained(
            "traces", self._write, lost, MOST_WAITING, _CHUNK
        )
        self._model = {
            "mlifecycle.model.name": settings.name,
            "mlifecycle.model.version": settings.version,
            "mlifecycle.release": settings.release,
        }
        self._export: Any = None

    def start(self) -> None:
        """Begin to export. Raises InvalidConfiguration, ImportError."""
        from serving.record.spans import Exporter

        self._export = Exporter(self._model)
        self._queue.start()

    def stop(self) -> None:
        """Export what waits."""
        self._queue.stop(FLUSH)
        if self._export is not None:
            self._export.close()

    def answered(self, exchange: Exchange) -> None:
        """Note what has been answered, where it is sampled."""
        context = exchange.trace
        if context is None or not context.sampled:
            return
        self._queue.put(
            (
                context,
                time.time_ns(),
                int((time.perf_counter() - exchange.began) * 1e9),
                exchange.method,
                exchange.route,
                exchange.status,
                exchange.code,
                exchange.instances,
                exchange.waited,
                exchange.computed,
                exchange.request_id,
            )
        )

    def _write(self, entries: Sequence[tuple[Any, ...]]) -> int:
        return 0 if self._export(entries) else len(entries)
