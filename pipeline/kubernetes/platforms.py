"""What a cluster may have that brings models into service by itself, and what it needs to know."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

from pipeline.errors import InvalidInput, Problem
from pipeline.manifest import Manifest, ModelDeployment
from pipeline.manifest.operation import Autoscaling
from pipeline.manifest.values import seconds


class Platform(StrEnum):
    """For which operator the objects are rendered. Each has a component of its name."""

    ARGO_ROLLOUTS = "argo-rollouts"
    FLAGGER = "flagger"
    KSERVE = "kserve"


# Those that judge new pods by what Prometheus has of them, with a component for each trigger.
JUDGING = (Platform.ARGO_ROLLOUTS, Platform.FLAGGER)
ERROR_RATE = "rollback-error-rate"
LATENCY = "rollback-latency-p99-seconds"
MEASURED = {ERROR_RATE: "error-rate", LATENCY: "latency-p99"}


def components(manifest: Manifest, platform: Platform | None) -> list[str]:
    """The components that make the objects those of the platform.

    Raises InvalidInput when it is to judge new pods and the manifest has no trigger.
    """
    if platform is None:
        return []
    if platform not in JUDGING:
        return [platform.value]
    found = [MEASURED[name] for name, _ in triggers(manifest.model) if name in MEASURED]
    if not found:
        expected = f"rollback with a trigger, by which {platform} judges new pods"
        remedy = "Enable spec.rollback with error_rate or latency_p99."
        raise InvalidInput([Problem(str(manifest.path), "spec.rollback", "", expected, remedy)])
    return [platform.value, *(f"{platform}/{name}" for name in found)]


def patches(model: ModelDeployment, platform: Platform | None) -> list[dict[str, Any]]:
    """What the manifest says that stands at another place on the platform."""
    autoscaling, replicas = autoscaled(model), model.spec.inference.replicas
    if platform is Platform.ARGO_ROLLOUTS and autoscaling is None:
        return [_patch("Rollout", {"/spec/replicas": replicas})]
    if platform is Platform.FLAGGER and autoscaling is not None:
        kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
        reference = {**kind, "name": model.metadata.name}
        return [_patch("Canary", {"/spec/autoscalerRef": reference})]
    if platform is Platform.KSERVE:
        bounds: dict[str, Any] = {"minReplicas": replicas, "maxReplicas": replicas}
        if autoscaling is not None:
            bounds = {
                "minReplicas": autoscaling.min_replicas,
                "maxReplicas": autoscaling.max_replicas,
                "scaleMetric": "cpu",
                "scaleTarget": autoscaling.target_cpu_utilization,
            }
        return [
            _patch(
                "InferenceService",
                {f"/spec/predictor/{name}": value for name, value in bounds.items()},
            )
        ]
    return []


def _patch(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    operations = [{"op": "add", "path": path, "value": value} for path, value in values.items()]
    return {"target": {"kind": kind}, "patch": json.dumps(operations)}


def autoscaled(model: ModelDeployment) -> Autoscaling | None:
    """How the replicas follow the load, if they do."""
    autoscaling = model.spec.inference.autoscaling
    return autoscaling if autoscaling is not None and autoscaling.enabled else None


def triggers(model: ModelDeployment) -> list[tuple[str, str]]:
    """What takes a version back: a share of failed requests, a time in seconds, their windows."""
    rollback = model.spec.rollback
    if rollback is None or not rollback.enabled or rollback.triggers is None:
        return []
    found: list[tuple[str, str]] = []
    if (errors := rollback.triggers.error_rate) is not None:
        found.append(("rollback-error-rate", f"{errors.threshold:g}"))
        found.append(("rollback-error-rate-window", errors.window))
    if (latency := rollback.triggers.latency_p99) is not None:
        found.append(("rollback-latency-p99-seconds", f"{seconds(latency.threshold):g}"))
        found.append(("rollback-latency-p99-window", latency.window))
    return found
