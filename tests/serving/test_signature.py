"""What the signature allows becomes rows; anything else is named, and never an exception."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.settings import Feature
from serving.signature import InvalidInstances, Signature, expected_of, to_rows

MAX_INSTANCES = 1000
FEATURES = (
    Feature("amount", "float", 0, 100),
    Feature("hour", "integer", 0, 23),
    Feature("free", "float", None, None),
)
GOOD = [1.5, 3, -7.25]


def faults_of(instances: Any) -> list[tuple[int | None, str | None]]:
    with pytest.raises(InvalidInstances) as refusal:
        to_rows(instances, FEATURES)
    return [(fault.instance, fault.feature) for fault in refusal.value.faults]


def test_objects_and_arrays_become_the_same_rows() -> None:
    instance = {"free": -7.25, "hour": 3, "amount": 1.5}
    assert to_rows([instance, GOOD], FEATURES) == [GOOD, GOOD]


def test_the_limits_belong_to_the_range() -> None:
    rows = [[0, 0, 0], [100, 23, 3.4e38], [0.0, 23.0, -3.4e38]]
    assert to_rows(rows, FEATURES) == rows


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("amount", -0.001),
        ("amount", 100.001),
        ("amount", math.nan),
        ("amount", math.inf),
        ("amount", True),
        ("amount", None),
        ("amount", "1.5"),
        ("amount", [1.5]),
        ("amount", {}),
        ("hour", 3.5),
        ("hour", 24),
        ("hour", False),
        ("free", 1e39),
        ("free", -(10**400)),
        ("free", 10**400),
        ("free", -math.inf),
    ],
)
def test_a_wrong_value_is_named(feature: str, value: Any) -> None:
    instance = dict(zip(("amount", "hour", "free"), GOOD, strict=True))
    instance[feature] = value
    assert faults_of([GOOD, instance]) == [(1, feature)]
    assert faults_of([list(instance.values())]) == [(0, feature)]


def test_all_faults_are_named_at_once() -> None:
    missing_and_unknown = {"amount": 1, "hour": 2, "freedom": 3}
    assert faults_of([[-1, 99, 0], missing_and_unknown, [1], "x", None]) == [
        (0, "amount"),
        (0, "hour"),
        (1, "free"),
        (1, "freedom"),
        (2, None),
        (3, None),
        (4, None),
    ]


@pytest.mark.parametrize("instances", [None, {}, "x", 3, [], [GOOD] * (MAX_INSTANCES + 1)])
def test_the_number_of_instances_is_bounded(instances: Any) -> None:
    assert faults_of(instances) == [(None, None)]


def test_the_largest_request_passes() -> None:
    assert len(to_rows([GOOD] * MAX_INSTANCES, FEATURES)) == MAX_INSTANCES


@pytest.mark.parametrize(
    ("feature", "words"),
    [
        (Feature("x", "float", None, None), "a number"),
        (Feature("x", "integer", 1, None), "a whole number of at least 1"),
        (Feature("x", "float", None, 0.5), "a number of at most 0.5"),
        (Feature("x", "float", 0, 25000), "a number from 0 to 25000"),
    ],
)
def test_what_is_expected_is_said_in_words(feature: Feature, words: str) -> None:
    assert expected_of(feature) == words


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@given(st.lists(values | st.lists(values, min_size=3, max_size=3), max_size=5))
def test_any_json_is_either_rows_in_range_or_refused(instances: list[Any]) -> None:
    signature = Signature(FEATURES)
    packed = signature.packed(instances) or None
    fits = packed is not None and signature.misfits(np.frombuffer(packed).reshape(-1, 3)) is None
    try:
        rows = to_rows(instances, FEATURES)
    except InvalidInstances:
        assert not fits
        return
    assert fits
    assert packed is not None
    assert np.frombuffer(packed).reshape(-1, 3).tolist() == rows
    for amount, hour, free in rows:
        assert 0 <= amount <= 100
        assert 0 <= hour <= 23
        assert hour == int(hour)
        assert math.isfinite(free)
