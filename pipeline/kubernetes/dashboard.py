"""A dashboard of one model, as Grafana takes it from a ConfigMap that its sidecar finds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from pipeline.kubernetes import queries
from pipeline.manifest import ModelDeployment

# What the sidecar of Grafana's own chart looks for, unless it is told otherwise.
LABELS = {"grafana_dashboard": "1"}
WINDOW = "$__rate_interval"
# Of whatever name: Grafana's own choice of a Prometheus.
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph: its queries, each with the legend of its series."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def panels(model: ModelDeployment) -> list[Panel]:
    """What is shown, the callers' view first."""

    def rate(metric: str, by: str) -> str:
        which = queries.of(model)
        return f"sum by ({by}) (rate({metric}{which}[{WINDOW}]))"

    def mean(metric: str) -> str:
        total = queries.rate(model, f"{metric}_sum", WINDOW)
        return f"{total} / {queries.rate(model, f'{metric}_count', WINDOW)}"

    which = queries.of(model)
    quantiles = tuple(
        (queries.quantile(model, share, WINDOW), f"{share:.0%}") for share in (0.5, 0.9, 0.99)
    )
    found = [
        Panel("Requests by status", "reqps", ((rate(queries.REQUESTS, "status"), "{{status}}"),)),
        Panel(
            "Share of failed requests",
            "percentunit",
            ((queries.failed_share(model, WINDOW), "failed"),),
        ),
        Panel("Time to the answer", "s", quantiles),
        Panel("Errors by code", "reqps", ((rate("mlifecycle_errors_total", "code"), "{{code}}"),)),
        Panel(
            "Predictions by class",
            "cps",
            ((rate("mlifecycle_predictions_total", "prediction"), "{{prediction}}"),),
        ),
        Panel("Servers that are ready", "short", ((f"sum(mlifecycle_ready{which})", "ready"),)),
        Panel(
            "Versions that serve",
            "short",
            ((f"count by (version) (mlifecycle_model_info{which})", "{{version}}"),),
        ),
        Panel(
            "The queue",
            "short",
            (
                (f"sum(mlifecycle_queue_rows{which})", "rows that wait"),
                (mean("mlifecycle_batch_rows"), "rows in a call of the model"),
            ),
        ),
        Panel(
            "Mean time of a request's parts",
            "s",
            (
                (mean("mlifecycle_queue_wait_seconds"), "in the queue"),
                (mean("mlifecycle_model_duration_seconds"), "a call of the model"),
            ),
        ),
    ]
    drift = model.spec.drift
    detection = model.spec.monitoring.drift_detection if model.spec.monitoring else None
    if drift is not None and detection is not None and detection.enabled:
        found.append(Panel("Drift of inputs", "short", ((queries.drift(model), "{{feature}}"),)))
    return found


def document(model: ModelDeployment) -> dict[str, Any]:
    """The dashboard. Two models' have different uids, since Grafana keeps one dashboard of each."""
    metadata = model.metadata
    title = f"{metadata.namespace}/{metadata.name}"
    return {
        "uid": hashlib.sha256(title.encode()).hexdigest()[:32],
        "title": f"Model {title}",
        "tags": ["mlifecycle", metadata.namespace],
        "timezone": "utc",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": [_panel(i, panel) for i, panel in enumerate(panels(model))],
    }


def _panel(index: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(index, _COLUMNS)
    return {
        "id": index + 1,
        "title": panel.title,
        "type": "timeseries",
        "datasource": SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
            }
            for i, (expression, legend) in enumerate(panel.queries)
        ],
    }
