"""Golden inputs against the signature: features in their ranges, answers among its classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.manifest.fault import Fault, listed, missing, nearest, unique
from pipeline.manifest.operation import DEFAULT_TOLERANCE
from pipeline.manifest.paths import Place
from pipeline.manifest.plain import items, mappings, number, texts


def golden_inputs(document: dict[str, Any]) -> Iterator[Fault]:
    """What of the golden inputs does not fit the signature."""
    cases = mappings(document, ("spec", "inference", "golden_inputs"))
    yield from unique(cases, "name")
    features = features_by_name(document)
    classes = texts(document, ("spec", "signature", "classes"))
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
            yield missing((*place, name), "a value for every feature of the signature")
    for name, raw in instance.items():
        feature, value = features.get(name), number(raw)
        if feature is None:
            yield Fault(
                (*place, name),
                "features of the signature only",
                nearest(name, features, "Remove it, or add the feature to spec.signature.inputs."),
                "an unknown feature",
            )
            continue
        if value is None:
            continue
        low, high = number(feature.get("minimum")), number(feature.get("maximum"))
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
            f"one of the classes {listed(classes or [])}",
            nearest(prediction, classes or [], "Name a class of spec.signature.classes."),
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
            yield missing((*here, name), "a probability for every class")
    for name in probabilities:
        if name not in classes:
            yield Fault(
                (*here, name),
                f"one of the classes {listed(classes)}",
                nearest(name, classes, "Remove it."),
                "an unknown class",
            )
    shares = {name: number(value) for name, value in probabilities.items()}
    given = {name: share for name, share in shares.items() if share is not None}
    if len(given) != len(shares) or set(given) != set(classes):
        return
    # Each may have been rounded by as much as it may be off.
    tolerance = number(expected.get("tolerance")) or DEFAULT_TOLERANCE
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


def features_by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """The signature's features by name; None when not all of them have one."""
    entries = items(document, ("spec", "signature", "inputs"))
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            return None
    return {entry["name"]: entry for entry in entries} or None
