"""A request's instances checked against the model's signature and turned into rows.

The check is made twice over: once in the fewest steps, for the instances of all requests that are
computed together; and for those that it does not let pass once more, value by value, to say why.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.settings import Feature

# Faults after which no more are looked for in one instance: nobody reads more.
ENOUGH = 100
# The model computes in 32 bits: a larger number would reach it as infinity.
_LARGEST = 3.4028234663852886e38
_LEAST = -_LARGEST
# bool is a subclass of int, so types are compared and not instances tested.
_NUMBERS = frozenset({int, float})


@dataclass(frozen=True, slots=True)
class Fault:
    """One value that the signature does not allow, complete enough to be mended by the caller.

    `instance` is its index in the request, `feature` its name; None when the whole is meant.
    """

    instance: int | None
    feature: str | None
    value: Any
    expected: str


class InvalidInstances(Exception):
    """The request's instances are refused, with every fault found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(f"{len(self.faults)} values do not fit the model's signature")


class Signature:
    """What the model takes, made ready for the check of many rows."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = tuple(features)
        self.width = len(self.features)
        names = [feature.name for feature in self.features]
        # Of a single name, itemgetter gives the bare value.
        self._of_object: Callable[[Any], Any] = (
            itemgetter(*names) if len(names) > 1 else lambda instance: (instance[names[0]],)
        )
        self._pack = struct.Struct(f"={self.width}d").pack
        bounds = [(f.minimum, f.maximum) for f in self.features]
        self._low = np.array([_LEAST if low is None else low for low, _ in bounds])
        self._high = np.array([_LARGEST if high is None else high for _, high in bounds])
        self._whole = np.array([i for i, f in enumerate(self.features) if f.type == "integer"], int)

    def packed(self, instances: Any) -> bytes | None:
        """The instances' numbers as float64 (n x features), whatever their range.

        None when they are not all complete instances of numbers: `to_rows` says why.
        """
        if type(instances) is not list:
            return None
        found = []
        try:
            for instance in instances:
                if type(instance) is dict:
                    if len(instance) != self.width:
                        return None
                    values = self._of_object(instance)
                elif type(instance) is list:
                    values = instance
                else:
                    return None
                if not _NUMBERS.issuperset(map(type, values)):
                    return None
                found.append(self._pack(*values))
        except (KeyError, struct.error, OverflowError):
            return None
        return found[0] if len(found) == 1 else b"".join(found)

    def misfits(self, rows: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """Which of the rows (n x features) hold a number that is not allowed; None when none."""
        # Each column's extremes first: much less to compare, and what is NaN is their NaN.
        low, high = (rows[0], rows[0]) if len(rows) == 1 else (rows.min(axis=0), rows.max(axis=0))
        if (low >= self._low).all() and (high <= self._high).all() and self._is_whole(rows):
            return None
        fits = (rows >= self._low) & (rows <= self._high)
        if len(self._whole):
            whole = rows[:, self._whole]
            fits[:, self._whole] &= whole == np.rint(whole)
        misfits: NDArray[np.bool_] = np.logical_not(fits.all(axis=1))
        return misfits

    def _is_whole(self, rows: NDArray[np.float64]) -> bool:
        if not len(self._whole):
            return True
        whole = rows[:, self._whole]
        return bool((whole == np.rint(whole)).all())

    def explain(self, instances: Any, limit: int) -> Sequence[Fault]:
        """Every fault of instances that were not let pass."""
        try:
            to_rows(instances, self.features, limit)
        except InvalidInstances as error:
            return error.faults
        return ()


def to_rows(instances: Any, features: Sequence[Feature], limit: int = 1000) -> list[list[float]]:
    """One row of numbers per instance, in the signature's order; raises InvalidInstances.

    An instance is an object by feature name or an array in the order of the signature.
    """
    if not isinstance(instances, list) or not 0 < len(instances) <= limit:
        size = len(instances) if isinstance(instances, list) else instances
        expected = f"an array of 1 to {limit} instances"
        raise InvalidInstances([Fault(None, None, size, expected)])
    faults: list[Fault] = []
    rows = [_row(instance, i, features, faults) for i, instance in enumerate(instances)]
    if faults:
        raise InvalidInstances(faults)
    return rows


def _row(
    instance: Any, index: int, features: Sequence[Feature], faults: list[Fault]
) -> list[float]:
    if isinstance(instance, dict):
        if instance.keys() != {feature.name for feature in features}:
            _names(instance, index, features, faults)
            return []
        values = [instance[feature.name] for feature in features]
    elif isinstance(instance, list):
        if len(instance) != len(features):
            expected = f"{len(features)} numbers, one for each feature"
            faults.append(Fault(index, None, f"{len(instance)} values", expected))
            return []
        values = instance
    else:
        faults.append(Fault(index, None, instance, "an object of features or an array of numbers"))
        return []
    for feature, value in zip(features, values, strict=True):
        if not _fits(value, feature):
            faults.append(Fault(index, feature.name, value, expected_of(feature)))
    return values


def _names(
    instance: dict[str, Any], index: int, features: Sequence[Feature], faults: list[Fault]
) -> None:
    known = {feature.name for feature in features}
    for feature in features:
        if feature.name not in instance:
            expected = f"{expected_of(feature)}; it is missing"
            faults.append(Fault(index, feature.name, None, expected))
    for name, value in instance.items():
        if name not in known:
            faults.append(Fault(index, name, value, "no such feature: see /model/info"))
            if len(faults) >= ENOUGH:
                return


def _fits(value: Any, feature: Feature) -> bool:
    # bool is a subclass of int, so the type is compared and not the instance tested
    kind = type(value)
    if kind is float:
        if not math.isfinite(value) or (feature.type == "integer" and not value.is_integer()):
            return False
    elif kind is not int:
        return False
    if feature.minimum is not None and value < feature.minimum:
        return False
    if feature.maximum is not None and value > feature.maximum:
        return False
    return bool(-_LARGEST <= value <= _LARGEST)


def expected_of(feature: Feature) -> str:
    """What the feature accepts, in words."""
    kind = "a whole number" if feature.type == "integer" else "a number"
    match feature.minimum, feature.maximum:
        case None, None:
            return kind
        case low, None:
            return f"{kind} of at least {low:g}"
        case None, high:
            return f"{kind} of at most {high:g}"
        case low, high:
            return f"{kind} from {low:g} to {high:g}"
