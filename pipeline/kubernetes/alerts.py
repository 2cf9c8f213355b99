"""The rules by which Prometheus tells somebody: the manifest's alerts, drift, and how fast the
error budget of its objectives burns.

The pairs of windows and the burn rates are those of Google's SRE workbook, chapter "Alerting on
SLOs": a page when 2 % of thirty days' budget are gone in an hour or 5 % in six, a ticket when 10 %
are gone in a day or in three.
"""

from __future__ import annotations

from typing import Any, assert_never

from pipeline.kubernetes import queries
from pipeline.manifest import ModelDeployment
from pipeline.manifest.monitoring import (
    Alert,
    DriftAlert,
    DriftDetection,
    ErrorRateAlert,
    LatencyAlert,
    LatencyObjective,
    Monitoring,
)
from pipeline.manifest.values import seconds

# The long window, the short one that ends an alert soon after its cause, the rate at which the
# budget burns, the severity.
BURNS = (
    ("1h", "5m", 14.4, "critical"),
    ("6h", "30m", 6.0, "critical"),
    ("1d", "2h", 3.0, "warning"),
    ("3d", "6h", 1.0, "warning"),
)
# Written down by Prometheus, since nobody wants to read three days of requests every minute.
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
AVAILABILITY = "mlifecycle:requests_failed:ratio_rate"
LATENCY = "mlifecycle:requests_slow:ratio_rate"


def groups(model: ModelDeployment) -> list[dict[str, Any]]:
    """The rule groups of a PrometheusRule, and of a file that Prometheus itself takes."""
    monitoring = model.spec.monitoring
    if monitoring is None:
        return []
    name = model.metadata.name
    found = {
        f"{name}.alerts": [
            _no_answer(model),
            *(_alert(model, alert) for alert in monitoring.alerts),
            *_drift(model, monitoring.drift_detection),
        ],
        f"{name}.objectives": _objectives(model, monitoring),
    }
    return [{"name": group, "rules": rules} for group, rules in found.items() if rules]


def _rule(
    model: ModelDeployment, name: str, expression: str, severity: str, summary: str, **more: Any
) -> dict[str, Any]:
    metadata = model.metadata
    labels = {
        "severity": severity,
        "namespace": metadata.namespace,
        "model": metadata.name,
        "team": metadata.labels["team"],
    }
    annotations = {"summary": f"{metadata.namespace}/{metadata.name}: {summary}"}
    return {
        "alert": name,
        "expr": expression,
        **more,
        "labels": labels,
        "annotations": annotations,
    }


def _no_answer(model: ModelDeployment) -> dict[str, Any]:
    # Not `== 0`: of a pod that nobody finds there is no series at all.
    expression = f"absent(up{queries.of(model)} == 1)"
    summary = "no server of it has answered Prometheus for five minutes"
    # `for` is a word of Python's.
    return _rule(model, "ModelWithoutServers", expression, "critical", summary, **{"for": "5m"})


def _alert(model: ModelDeployment, alert: Alert) -> dict[str, Any]:
    match alert:
        case ErrorRateAlert():
            expression = f"{queries.failed_share(model, alert.window)} > {alert.threshold:g}"
            says = f"of its requests fail, more than {alert.threshold:.4g} over {alert.window}"
            summary = "{{ $value | humanizePercentage }} " + says
        case LatencyAlert():
            limit = seconds(alert.threshold)
            expression = f"{queries.quantile(model, 0.99, alert.window)} > {limit:g}"
            says = f"for one in a hundred answers, more than {alert.threshold} over {alert.window}"
            summary = "{{ $value | humanizeDuration }} " + says
        case DriftAlert():
            expression = f"{queries.drift_over(model, alert.window)} > {alert.threshold:g}"
            summary = _moved(alert.threshold)
        case _:
            assert_never(alert)
    return _rule(model, alert.name, expression, alert.severity, summary)


def _drift(model: ModelDeployment, detection: DriftDetection | None) -> list[dict[str, Any]]:
    """The detection's own alert: one for each feature that is beyond the threshold."""
    if detection is None or not detection.enabled or detection.threshold is None:
        return []
    # The server measures over the window itself.
    expression = f"{queries.drift(model)} > {detection.threshold:g}"
    return [_rule(model, "FeatureDrift", expression, "warning", _moved(detection.threshold))]


def _moved(threshold: float) -> str:
    return (
        "inputs have moved away from the reference in {{ $labels.feature }}, by a population "
        f"stability index of {{{{ $value | humanize }}}}; {threshold:g} is the most"
    )


def _objectives(model: ModelDeployment, monitoring: Monitoring) -> list[dict[str, Any]]:
    objectives = monitoring.objectives
    if objectives is None:
        return []
    found: list[dict[str, Any]] = []
    if objectives.availability is not None:
        found += _recorded(model, AVAILABILITY, queries.failed_share)
        found += _burning(
            model, "AvailabilityBudgetBurns", AVAILABILITY, objectives.availability, "that fail"
        )
    if (latency := objectives.latency) is not None:
        found += _recorded(model, LATENCY, _slow(latency))
        slow = f"that take longer than {latency.within}"
        found += _burning(model, "LatencyBudgetBurns", LATENCY, latency.share, slow)
    return found


def _slow(latency: LatencyObjective) -> queries.Share:
    def share(model: ModelDeployment, window: str) -> str:
        return queries.slow_share(model, seconds(latency.within), window)

    return share


def _recorded(model: ModelDeployment, record: str, share: queries.Share) -> list[dict[str, Any]]:
    labels = {"namespace": model.metadata.namespace, "model": model.metadata.name}
    return [
        {"record": f"{record}{window}", "expr": share(model, window), "labels": labels}
        for window in WINDOWS
    ]


def _burning(
    model: ModelDeployment, name: str, record: str, objective: float, requests: str
) -> list[dict[str, Any]]:
    budget = 1 - objective
    which = f'{{namespace="{model.metadata.namespace}",model="{model.metadata.name}"}}'
    found = []
    for long, short, rate, severity in BURNS:
        # Of half the requests or more no budget burns that fast: then all of them is the limit.
        limit = f"{min(rate * budget, 0.999):.6g}"
        expression = f"{record}{long}{which} > {limit} and {record}{short}{which} > {limit}"
        summary = (
            f"requests {requests} use up the budget of {budget:.4g} {rate:g} times too fast: "
            f"{{{{ $value | humanizePercentage }}}} of them over {long}"
        )
        rule = _rule(model, name, expression, severity, summary)
        # By its labels alone an alert is told from the others of its name.
        rule["labels"]["window"] = long
        found.append(rule)
    return found
