"""What one field says about another: checked on plain data, so that an error elsewhere hides none.

Pydantic would skip these checks as soon as any field beside them is wrong. Here each looks only at
the values it needs, and passes over those whose type is wrong: the types speak for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.manifest.operation import DEFAULT_TOLERANCE
from pipeline.manifest.paths import Place, at
from pipeline.manifest.values import seconds

# The least that an alert can look back over: two values at the ServiceMonitor's interval.
SHORTEST = 60.0  # seconds
_RESERVED = ("kubernetes.io", "k8s.io", "mlifecycle.io")


@dataclass(frozen=True)
class Fault:
    """Two fields that do not fit. `value` is what is shown when it is not the value at `place`."""

    place: Place
    expected: str
    remedy: str
    value: str | None = None


def faults(document: dict[str, Any]) -> Iterator[Fault]:
    """Every contradiction in the plain data of a manifest, however broken the rest of it is."""
    yield from _labels(document)
    yield from _signature(document)
    yield from _golden_inputs(document)
    yield from _names(document)
    yield from _lane(document)
    yield from _transform(document)
    yield from _access(document)
    yield from _autoscaling(document)
    yield from _monitoring(document)
    yield from _switches(document)


def _labels(document: dict[str, Any]) -> Iterator[Fault]:
    place: Place = ("metadata", "labels")
    labels = _mapping(document, place)
    if labels is None:
        return
    if "team" not in labels:
        yield _missing((*place, "team"), "the team that answers for this model")
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
    features = _mappings(document, place)
    yield from _unique(features, "name")
    yield from _unique_texts(document, ("spec", "signature", "classes"))
    for here, feature in features:
        low, high = _number(feature.get("minimum")), _number(feature.get("maximum"))
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


def _golden_inputs(document: dict[str, Any]) -> Iterator[Fault]:
    cases = _mappings(document, ("spec", "inference", "golden_inputs"))
    yield from _unique(cases, "name")
    features = _features(document)
    classes = _texts(document, ("spec", "signature", "classes"))
    for here, case in cases:
        instance = case.get("instance")
        if features is not None and isinstance(instance, dict):
            yield from _instance((*here, "instance"), instance, features)
        expected = case.get("expected")
        if isinstance(expected, dict):
            yield from _expected((*here, "expected"), expected, classes)


def _instance(
    place: Place, instance: dict[str, Any], features: dict[str, dict[str, Any]]
) -> Iterator[Fault]:
    for name in features:
        if name not in instance:
            yield _missing((*place, name), "a value for every feature of the signature")
    for name, raw in instance.items():
        feature, value = features.get(name), _number(raw)
        if feature is None:
            yield Fault(
                (*place, name),
                "features of the signature only",
                _nearest(name, features, "Remove it, or add the feature to spec.signature.inputs."),
                "an unknown feature",
            )
            continue
        if value is None:
            continue
        low, high = _number(feature.get("minimum")), _number(feature.get("maximum"))
        if low is not None and value < low:
            yield Fault((*place, name), f"at least {low:g}, the feature's minimum", _RANGE)
        if high is not None and value > high:
            yield Fault((*place, name), f"at most {high:g}, the feature's maximum", _RANGE)
        if feature.get("type") == "integer" and value != int(value):
            yield Fault((*place, name), "a whole number, as the feature's type says", _RANGE)


_RANGE = "Correct the value, or the feature in spec.signature.inputs."


def _expected(place: Place, expected: dict[str, Any], classes: list[str] | None) -> Iterator[Fault]:
    prediction = expected.get("prediction")
    known = isinstance(prediction, str) and (classes is None or prediction in classes)
    if isinstance(prediction, str) and not known:
        yield Fault(
            (*place, "prediction"),
            f"one of the classes {_listed(classes or [])}",
            _nearest(prediction, classes or [], "Name a class of spec.signature.classes."),
        )
    probabilities = expected.get("probabilities")
    if "probabilities" not in expected and "tolerance" in expected:
        yield Fault(
            (*place, "tolerance"),
            "probabilities beside it",
            "Add the probabilities that it is the tolerance of, or remove it.",
        )
    if not isinstance(probabilities, dict) or classes is None:
        return
    here = (*place, "probabilities")
    for name in classes:
        if name not in probabilities:
            yield _missing((*here, name), "a probability for every class")
    for name in probabilities:
        if name not in classes:
            yield Fault(
                (*here, name),
                f"one of the classes {_listed(classes)}",
                _nearest(name, classes, "Remove it."),
                "an unknown class",
            )
    shares = {name: _number(value) for name, value in probabilities.items()}
    given = {name: share for name, share in shares.items() if share is not None}
    if len(given) != len(shares) or set(given) != set(classes):
        return
    # Each may have been rounded by as much as it may be off.
    tolerance = _number(expected.get("tolerance")) or DEFAULT_TOLERANCE
    total = sum(given.values())
    if abs(total - 1) > tolerance * len(given) + 1e-9:
        yield Fault(
            here, "probabilities that make 1 together", "Correct them.", f"{total:g} in all"
        )
    if known and given[prediction] < max(given.values()) - 2 * tolerance:
        best = max(given, key=lambda name: given[name])
        yield Fault(
            (*place, "prediction"),
            f"the most probable class, {best}",
            "Correct the prediction or the probabilities.",
        )


def _names(document: dict[str, Any]) -> Iterator[Fault]:
    features = _features(document)
    monitored: Place = ("spec", "drift", "monitored_features")
    yield from _unique_texts(document, monitored)
    yield from _unique_texts(document, ("spec", "fairness", "protected_attributes"))
    sources = _mappings(document, ("spec", "data_sources"))
    seen: set[tuple[str, str]] = set()
    for here, source in sources:
        identity = (str(source.get("source")), str(source.get("version")))
        if identity in seen:
            yield Fault(here, "each source and version once", "Delete one of the two.")
        seen.add(identity)
    if features is None:
        return
    named = [((*monitored, i), name) for i, name in enumerate(_list(document, monitored))]
    importance: Place = ("spec", "explainability", "feature_importance")
    named += [((*importance, name), name) for name in _mapping(document, importance) or {}]
    for here, name in named:
        if isinstance(name, str) and name not in features:
            remedy = _nearest(name, features, "Remove it, or add it to spec.signature.inputs.")
            yield Fault(here, "a feature of the signature", remedy, f'"{name}"')


def _lane(document: dict[str, Any]) -> Iterator[Fault]:
    place: Place = ("spec", "inference", "agreement")
    agreement = _mapping(document, place) or {}
    lane = at(document, ("spec", "inference", "lane"))
    held_out = agreement.get("held_out")
    if lane == "auto" and "held_out" not in agreement:
        yield _missing((*place, "held_out"), "held-out rows whenever the lane is auto")
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
    if _mapping(document, place) == {}:
        yield Fault(
            place,
            "at least one of keys_secret and tokens",
            "Say who may ask, or leave access out.",
        )


def _autoscaling(document: dict[str, Any]) -> Iterator[Fault]:
    place: Place = ("spec", "inference", "autoscaling")
    scaling = _mapping(document, place)
    if scaling is None:
        return
    yield from _needed(scaling, place, "min_replicas", "max_replicas", "target_cpu_utilization")
    low, high = _number(scaling.get("min_replicas")), _number(scaling.get("max_replicas"))
    if low is None or high is None:
        return
    if low > high:
        yield Fault(
            (*place, "min_replicas"), f"at most max_replicas, {high:g}", "Correct one of the two."
        )
    replicas = _number(at(document, ("spec", "inference", "replicas")))
    outside = replicas is not None and not low <= replicas <= high
    if scaling.get("enabled") is True and low <= high and outside:
        yield Fault(
            ("spec", "inference", "replicas"),
            f"within the autoscaler's {low:g} to {high:g}",
            "Correct it, or the autoscaler's bounds.",
        )


def _monitoring(document: dict[str, Any]) -> Iterator[Fault]:
    place: Place = ("spec", "monitoring")
    detection = _mapping(document, (*place, "drift_detection"))
    if detection is not None:
        yield from _needed(detection, (*place, "drift_detection"), "threshold", "window")
    alerts = _mappings(document, (*place, "alerts"))
    yield from _unique(alerts, "name")
    for here, alert in alerts:
        window = _duration(alert.get("window"))
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
    if _mapping(document, objectives) == {}:
        yield Fault(
            objectives,
            "at least one of availability and latency",
            "Add an objective, or leave objectives out.",
        )


def _switches(document: dict[str, Any]) -> Iterator[Fault]:
    tracing: Place = ("spec", "observability", "tracing")
    yield from _needed(_mapping(document, tracing) or {}, tracing, "endpoint")
    rollback: Place = ("spec", "rollback")
    settings = _mapping(document, rollback) or {}
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
                yield _missing((*place, key), "it whenever enabled is true")


def _missing(place: Place, expected: str) -> Fault:
    return Fault(place, expected, "Add it.", "missing")


def _nearest(name: str, known: Any, otherwise: str) -> str:
    import difflib

    # Bounded: a file may name more features than any signature may have.
    near = difflib.get_close_matches(name[:100], list(known)[:1000], n=1)
    return f"Did you mean {near[0]}?" if near else otherwise


def _listed(names: list[str]) -> str:
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def _unique(entries: list[tuple[Place, dict[str, Any]]], key: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for here, entry in entries:
        name = entry.get(key)
        if isinstance(name, str):
            if name in seen:
                yield Fault((*here, key), "a name that no other one has", "Rename one of the two.")
            seen.add(name)


def _unique_texts(document: dict[str, Any], place: Place) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, text in enumerate(_list(document, place)):
        if isinstance(text, str):
            if text in seen:
                yield Fault((*place, index), "each name once", "Delete one of the two.")
            seen.add(text)


def _features(document: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """The signature's features by name; None when not all of them have one."""
    entries = _list(document, ("spec", "signature", "inputs"))
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            return None
    return {entry["name"]: entry for entry in entries} or None


def _texts(document: dict[str, Any], place: Place) -> list[str] | None:
    texts = _list(document, place)
    return texts if texts and all(isinstance(text, str) for text in texts) else None


def _list(document: dict[str, Any], place: Place) -> list[Any]:
    value = at(document, place)
    return value if isinstance(value, list) else []


def _duration(value: Any) -> float | None:
    """Its seconds, where it is a duration at all."""
    try:
        return seconds(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _mapping(document: dict[str, Any], place: Place) -> dict[str, Any] | None:
    value = at(document, place)
    return value if isinstance(value, dict) else None


def _mappings(document: dict[str, Any], place: Place) -> list[tuple[Place, dict[str, Any]]]:
    entries = enumerate(_list(document, place))
    return [((*place, i), entry) for i, entry in entries if isinstance(entry, dict)]


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
