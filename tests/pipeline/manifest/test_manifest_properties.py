"""Whatever is in the file: a manifest, or InvalidInput with problems. Never another exception."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.manifest import load
from pipeline.manifest.document import parse
from pipeline.manifest.loading import check
from pipeline.manifest.paths import Place, at
from pipeline.manifest.schema import generate
from pipeline.manifest.types import ModelDeployment

EXAMPLE = Path(__file__).parents[3] / "examples" / "valid" / "model-manifest.yaml"
DOCUMENT = load(EXAMPLE).document
VALIDATOR = jsonschema.Draft202012Validator(generate())

bounded = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def verdict(data: bytes) -> ModelDeployment | None:
    """The model, or None after checking that the refusal is a complete one."""
    try:
        document = parse("m.yaml", data)
    except InvalidInput as refused:
        problems = list(refused.problems)
        model = None
    else:
        model, problems = check(document)
    if not problems:
        assert model is not None
        return model
    for problem in problems:
        assert problem.expected
        assert problem.remedy
        assert str(problem).isprintable()
        str(problem).encode("utf-8")
    return None


def places(node: Any, place: Place = ()) -> list[Place]:
    found = [place]
    if isinstance(node, dict):
        for key, value in node.items():
            found += places(value, (*place, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            found += places(value, (*place, index))
    return found


PLACES = [place for place in places(DOCUMENT) if place]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=8) | st.sampled_from(["spec", "metadata", "kind", "team", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)
yaml_text = st.lists(
    st.sampled_from(
        ["a", "spec", ":", ": ", "\n", "\n  ", "- ", "[", "]", "{", "}", ",", "&x ", "*x", "!t ",
         "|", ">", "'", '"', "#", "%YAML 1.2\n", "---\n", "...\n", "? ", "<<", "1", ".nan",
         "\\", "\t"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@bounded
@given(st.binary(max_size=200))
def test_any_bytes(data):
    assert verdict(data) is None


@bounded
@given(yaml_text)
def test_any_arrangement_of_yaml(text):
    assert verdict(text.encode()) is None


@bounded
@given(json_values)
def test_any_json(value):
    # NaN and infinities are written as YAML spells them, to get beyond the syntax.
    text = json.dumps(value).replace("NaN", ".nan").replace("Infinity", ".inf")
    assert verdict(text.encode()) is None


@bounded
@given(st.data(), st.integers(min_value=1, max_value=4))
def test_a_manifest_with_parts_replaced(data, times):
    document = copy.deepcopy(DOCUMENT)
    for _ in range(times):
        place = data.draw(st.sampled_from(PLACES))
        around = at(document, place[:-1])
        if at(document, place) is None:
            continue
        if data.draw(st.booleans()):
            around[place[-1]] = data.draw(json_values)
        else:
            del around[place[-1]]
    text = json.dumps(document).replace("NaN", ".nan").replace("Infinity", ".inf")
    if verdict(text.encode()) is not None:
        # What the loader takes, the schema takes: editors mark nothing that works.
        assert VALIDATOR.is_valid(document)


@bounded
@given(st.integers(min_value=0), st.integers(min_value=1, max_value=30), st.binary(max_size=10))
def test_a_manifest_with_bytes_replaced(start, length, new):
    data = EXAMPLE.read_bytes()
    start %= len(data)
    verdict(data[:start] + new + data[start + length :])


@bounded
@given(st.floats())
def test_a_number_means_what_json_says_or_is_refused(number):
    document = copy.deepcopy(DOCUMENT)
    document["spec"]["drift"]["score"] = number
    text = json.dumps(document).replace("NaN", ".nan").replace("Infinity", ".inf")
    model = verdict(text.encode())
    if model is None:
        assert not math.isfinite(number) or number < 0
    else:
        assert model.spec.drift is not None
        assert model.spec.drift.score == number
