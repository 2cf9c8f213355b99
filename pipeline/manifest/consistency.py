"""What one field says about another: checked on plain data, so that an error elsewhere hides none.

Pydantic would skip these checks as soon as any field beside them is wrong. Here each looks only at
the values it needs, and passes over those whose type is wrong: the types speak for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.manifest.fault import Fault, missing, nearest, unique, unique_texts
from pipeline.manifest.golden import features_by_name, golden_inputs
from pipeline.manifest.paths import Place, at
from pipeline.manifest.plain import duration, items, mapping, mappings, number

# The least that an alert can look back over: two values at the ServiceMonitor's interval.
SHORTEST = 60.0  # seconds
_RESERVED = ("kubernetes.io", "k8s.io", "mlifecycle.io")


def faults(document: dict[str, Any]) -> Iterator[Fault]:
    """Every contradiction in the plain data of a manifest, however broken the rest of it is."""
    yield from _labels(document)
    yield from _signature(document)
    yield from golden_inputs(document)
    yield from _names(document)
    yield from _lane(document)
    yield from _transform(document)
    yield from _access(document)
    yield from _autoscaling(document)
    yield from _monitoring(document)
    yield from _switches(document)


def _labels(document: dict[str, Any]) -> Iterator[Fault]:
    place: Place = ("metadata", "labels")
    labels = mapping(document, place)
    if labels is None:
        return
    if "team" not in labels:
        yield missing((*place, "team"), "the team that answers for this model")
    elif labels["team"] == "":
        yield Fault((*place, "team"), "a team's name", "Name the team that answers for this model.")
    for key in labels:
        prefix = key.partition("/")[0] if "/" in key else ""
        if any(prefix == name or prefix.endswith("." + name) for name in _RESERVED):
            yield Fault(
                (*place, key),
                "no label under a reserved name",
                f"Labels under {prefix} are set by the platform; use a name of your own.",
            )


def _signature(document: dict[str, Any]) -> Iterator[Fault]:
    place: Place = ("spec", "signature", "inputs")
    features = mappings(document, place)
    yield from unique(features, "name")
    yield from unique_texts(document, ("spec", "signature", "classes"))
    for here, feature in features:
        low, high = number(feature.get("minimum")), number(feature.get("maximum"))
        if low is not None and high is not None and low > high:
            yield Fault(
                (*here, "minimum"), f"at most the maximum, {high:g}", "Exchange or correct the two."
            )
        if feature.get("type") == "integer":
            for key, bound in (("minimum", low), ("maximum", high)):
                if bound is not None and bound != int(bound):
                    yield Fault(
                        (*here, key),
                        "a whole number, as the feature's type is integer",
                        "Round it, or make the feature's type float.",
                    )


def _names(document: dict[str, Any]) -> Iterator[Fault]:
    features = features_by_name(document)
    monitored: Place = ("spec", "drift", "monitored_features")
    yield from unique_texts(document, monitored)
    yield from unique_texts(document, ("spec", "fairness", "protected_attributes"))
    sources = mappings(document, ("spec", "data_sources"))
    seen: set[tuple[str, str]] = set()
    for here, source in sources:
        identity = (str(source.get("source")), str(source.get("version")))
        if identity in seen:
            yield Fault(here, "each source and version once", "Delete one of the two.")
        seen.add(identity)
    if features is None:
        return
    named = [((*monitored, i), name) for i, name in enumerate(items(document, monitored))]
    importance: Place = ("spec", "explainability", "feature_importance")
    named += [((*importance, name), name) for name in mapping(document, importance) or {}]
    for here, name in named:
        if isinstance(name, str) and name not in features:
            remedy = nearest(name, features, "Remove it, or add it to spec.signature.inputs.")
            yield Fault(here, "a feature of the signature", remedy, f'"{name}"')


def _lane(document: dict[str, Any]) -> Iterator[Fault]:
    place: Place = ("spec", "inference", "agreement")
    agreement = mapping(document, place) or {}
    lane = at(document, ("spec", "inference", "lane"))
    held_out = agreement.get("held_out")
    if lane == "auto" and "held_out" not in agreement:
        yield missing((*place, "held_out"), "held-out rows whenever the lane is auto")
    if isinstance(held_out, str) and ("://" in held_out or ".." in held_out.split("/")):
        yield Fault(
            (*place, "held_out"),
            "the path of a file inside the manifest's folder",
            "Put the rows beside the manifest and name them so.",
        )
    if lane in (None, "torch") and agreement:
        yield Fault(
            place,
            "a lane that is not torch",
            "Set spec.inference.lane to onnx or auto: with torch, nothing is compared. "
            "Or remove it.",
            "an agreement",
        )


def _transform(document: dict[str, Any]) -> Iterator[Fault]:
    place: Place = ("spec", "model", "transform")
    transform = at(document, place)
    if not isinstance(transform, str):
        return
    if "://" in transform or ".." in transform.split("/") or not transform.endswith(".py"):
        yield Fault(
            place,
            "the path of a .py file inside the manifest's folder",
            "Put the file beside the manifest and name it so.",
        )
    if at(document, ("spec", "inference", "lane")) in ("onnx", "auto"):
        yield Fault(
            ("spec", "inference", "lane"),
            "torch, as the model has a transform",
            "The conversion compares bare models. Set the lane to torch, or leave it out.",
        )


def _access(document: dict[str, Any]) -> Iterator[Fault]:
    place: Place = ("spec", "inference", "access")
    if mapping(document, place) == {}:
        yield Fault(
            place,
            "at least one of keys_secret and tokens",
            "Say who may ask, or leave access out.",
        )


def _autoscaling(document: dict[str, Any]) -> Iterator[Fault]:
    place: Place = ("spec", "inference", "autoscaling")
    scaling = mapping(document, place)
    if scaling is None:
        return
    yield from _needed(scaling, place, "min_replicas", "max_replicas", "target_cpu_utilization")
    low, high = number(scaling.get("min_replicas")), number(scaling.get("max_replicas"))
    if low is None or high is None:
        return
    if low > high:
        yield Fault(
            (*place, "min_replicas"), f"at most max_replicas, {high:g}", "Correct one of the two."
        )
    replicas = number(at(document, ("spec", "inference", "replicas")))
    outside = replicas is not None and not low <= replicas <= high
    if scaling.get("enabled") is True and low <= high and outside:
        yield Fault(
            ("spec", "inference", "replicas"),
            f"within the autoscaler's {low:g} to {high:g}",
            "Correct it, or the autoscaler's bounds.",
        )


def _monitoring(document: dict[str, Any]) -> Iterator[Fault]:
    place: Place = ("spec", "monitoring")
    detection = mapping(document, (*place, "drift_detection"))
    if detection is not None:
        yield from _needed(detection, (*place, "drift_detection"), "threshold", "window")
    alerts = mappings(document, (*place, "alerts"))
    yield from unique(alerts, "name")
    for here, alert in alerts:
        window = duration(alert.get("window"))
        if window is not None and window < SHORTEST:
            yield Fault(
                (*here, "window"),
                f"at least {SHORTEST:g} seconds",
                "Prometheus asks a server every 30 seconds, and a rate takes two answers.",
            )
        if alert.get("metric") == "drift" and (detection or {}).get("enabled") is not True:
            yield Fault(
                (*here, "metric"),
                "drift detection to be enabled",
                "Enable spec.monitoring.drift_detection: without it this alert never fires.",
            )
    objectives: Place = (*place, "objectives")
    if mapping(document, objectives) == {}:
        yield Fault(
            objectives,
            "at least one of availability and latency",
            "Add an objective, or leave objectives out.",
        )


def _switches(document: dict[str, Any]) -> Iterator[Fault]:
    tracing: Place = ("spec", "observability", "tracing")
    yield from _needed(mapping(document, tracing) or {}, tracing, "endpoint")
    rollback: Place = ("spec", "rollback")
    settings = mapping(document, rollback) or {}
    yield from _needed(settings, rollback, "triggers")
    if settings.get("enabled") is True and settings.get("triggers") == {}:
        yield Fault(
            (*rollback, "triggers"),
            "at least one of error_rate and latency_p99",
            "Add a trigger, or set enabled to false.",
        )


def _needed(section: dict[str, Any], place: Place, *keys: str) -> Iterator[Fault]:
    if section.get("enabled") is True:
        for key in keys:
            if key not in section:
                yield missing((*place, key), "it whenever enabled is true")
