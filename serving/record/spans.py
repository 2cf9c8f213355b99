"""What needs OpenTelemetry's packages: imported by whoever exports, and by nobody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from serving.record.context import TraceContext

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope("mlifecycle.serving")


class Exporter:
    """Sends spans to the collector that the environment names."""

    def __init__(self, model: Mapping[str, str]) -> None:
        self._resource = Resource.create(dict(model))
        self._exporter = OTLPSpanExporter()

    def __call__(self, entries: Sequence[tuple[Any, ...]]) -> bool:
        """Export them. False when the collector did not take them."""
        spans = [self._span(*entry) for entry in entries]
        return self._exporter.export(spans) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Hang up."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _span(
        self,
        context: TraceContext,
        ended: int,
        nanoseconds: int,
        method: str,
        route: str,
        status: int,
        code: str,
        instances: int,
        waited: float,
        computed: float,
        request_id: bytes,
    ) -> ReadableSpan:
        attributes: dict[str, Any] = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "mlifecycle.request_id": request_id.decode(),
            "mlifecycle.instances": instances,
            "mlifecycle.queue_seconds": waited,
            "mlifecycle.model_seconds": computed,
        }
        if code:
            attributes["error.type"] = code
        return ReadableSpan(
            f"{method} {route}",
            context=_context(context.trace, context.span, remote=False),
            parent=_context(context.trace, context.parent, remote=True) if context.parent else None,
            resource=self._resource,
            attributes=attributes,
            kind=SpanKind.SERVER,
            # A caller's mistake is no fault of the server's.
            status=Status(StatusCode.ERROR if status >= 500 else StatusCode.UNSET),
            start_time=ended - nanoseconds,
            end_time=ended,
            instrumentation_scope=_SCOPE,
        )


def _context(trace: bytes, span: bytes, *, remote: bool) -> SpanContext:
    return SpanContext(int(trace, 16), int(span, 16), is_remote=remote, trace_flags=_SAMPLED)
