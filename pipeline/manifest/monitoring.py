"""What is watched once the model serves: drift, alerts, objectives, and what the server tells."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator

from pipeline.manifest.fields import CLUSTER, Section, field, section
from pipeline.manifest.values import Duration, Endpoint, Identifier, ObjectiveShare, Share


class DriftDetection(Section):
    """Watching whether live inputs move away from the reference data."""

    enabled: bool = field(
        "Whether drift is watched; the other two are then required.",
        f"Judged: MG-MON-002. {CLUSTER}the drift rules, or none.",
    )
    threshold: float | None = field(
        "The drift that is too much.", f"Judged: MG-MON-002. {CLUSTER}the drift rules.", None, gt=0
    )
    window: Duration | None = field(
        "Over how long it is measured.", f"{CLUSTER}the drift rules.", None
    )


class _Alert(Section):
    name: Identifier = field("The alert's name.", f"{CLUSTER}the alert rule's name.")
    window: Duration = field("Over how long it is measured.", f"{CLUSTER}the alert rule.")
    severity: Literal["critical", "warning"] = field(
        "How urgent it is.", f"{CLUSTER}the alert rule's severity label."
    )


class ErrorRateAlert(_Alert):
    """Too many requests fail."""

    metric: Literal["error_rate"] = field(
        "What is watched: the share of failed requests.",
        f"Judged: MG-MON-003. {CLUSTER}the alert rule's query.",
    )
    threshold: Share = field("The share that is too much.", f"{CLUSTER}the alert rule's query.")


class LatencyAlert(_Alert):
    """Answers take too long."""

    metric: Literal["latency_p99"] = field(
        "What is watched: the time within which 99 % of requests are answered.",
        f"Judged: MG-MON-003. {CLUSTER}the alert rule's query.",
    )
    threshold: Duration = field("The time that is too long.", f"{CLUSTER}the alert rule's query.")


class DriftAlert(_Alert):
    """Inputs move away from the reference data. Needs drift detection."""

    metric: Literal["drift"] = field(
        "What is watched: the inputs' drift.",
        f"Judged: MG-MON-003. {CLUSTER}the alert rule's query.",
    )
    threshold: float = field("The drift that is too much.", f"{CLUSTER}the alert rule.", gt=0)


Alert = Annotated[ErrorRateAlert | LatencyAlert | DriftAlert, Discriminator("metric")]


# The bounds that the server counts times by (serving/metrics/metrics.py), as far as they are
# durations: of any other the share of faster answers is not known.
Within = Literal[
    "1ms", "5ms", "10ms", "25ms", "50ms", "100ms", "250ms", "500ms", "1s", "2500ms", "5s", "10s"
]


class LatencyObjective(Section):
    """How many answers come how soon."""

    within: Within = field(
        "The time that an answer may take.", f"{CLUSTER}recording rules and burn-rate alerts."
    )
    share: ObjectiveShare = field(
        "The share of requests that must be answered within it, over 30 days.",
        f"{CLUSTER}burn-rate alerts.",
    )


class Objectives(Section):
    """What is promised to callers, over 30 days."""

    availability: ObjectiveShare | None = field(
        "The share of requests that must not fail by the server's fault.",
        f"{CLUSTER}recording rules and burn-rate alerts.",
        None,
    )
    latency: LatencyObjective | None = section("How soon answers come.", None)


class Monitoring(Section):
    """What is watched once the model serves."""

    enabled: bool = field(
        "Whether the model is watched.",
        f"Judged: MG-MON-001. {CLUSTER}the alert rules, or none.",
    )
    drift_detection: DriftDetection | None = section("Whether drift is watched.", None)
    alerts: tuple[Alert, ...] = section("When to tell somebody.", (), max_length=100)
    objectives: Objectives | None = section("What is promised to callers.", None)


class MetricsEndpoint(Section):
    """The server's own numbers."""

    enabled: bool = field(
        "Whether the server shows what it counts.", "The server's /metrics, or none."
    )


class Logging(Section):
    """The server's log."""

    level: Literal["debug", "info", "warning", "error"] = field(
        "The least that is logged.", "The server's log.", "info"
    )
    format: Literal["json", "text"] = field("The form of a log line.", "The server's log.", "json")


class Tracing(Section):
    """Traces of single requests."""

    enabled: bool = field(
        "Whether requests are traced; the endpoint is then required.",
        f"{CLUSTER}the exporter's settings in the server's environment, or none.",
    )
    endpoint: Endpoint | None = field(
        "The collector that takes the traces.", f"{CLUSTER}the exporter's address.", None
    )


class Observability(Section):
    """What the server tells about itself."""

    metrics: MetricsEndpoint = section("The server's own numbers.", MetricsEndpoint(enabled=True))
    logging: Logging = section("The server's log.", Logging())
    tracing: Tracing = section("Traces of single requests.", Tracing(enabled=False))
