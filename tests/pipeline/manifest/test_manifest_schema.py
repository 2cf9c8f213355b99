"""The JSON Schema says what the types say."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.manifest import load
from pipeline.manifest.document import parse
from pipeline.manifest.loading import check
from pipeline.manifest.paths import Place, at, dotted
from pipeline.manifest.reference import sections
from pipeline.manifest.schema import FILE, described, generate, resolve, text

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "valid").glob("*.yaml"))
NOT_OF_TYPE: dict[str, list[Any]] = {
    "string": [7, 1.5, True, [], {}],
    "number": ["1", True, [], {}],
    "integer": ["1", True, 1.5, [], {}],
    "boolean": ["true", "yes", 1, 0, []],
    "array": ["x", 1, {}],
    "object": ["x", 1, []],
}
ODD = "<`>"

Mutation = tuple[str, Callable[[dict[str, Any]], None]]


def test_the_shipped_file_is_the_generated_one():
    assert FILE.read_text(encoding="utf-8") == text(), "run python -m pipeline.manifest.schema"


def test_it_is_a_valid_schema_without_our_own_keywords():
    jsonschema.Draft202012Validator.check_schema(generate())
    assert '"effect"' not in text()
    assert '"null"' not in text()
    assert ": null" not in text()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_valid_examples_satisfy_it(path):
    jsonschema.validate(load(path).document, generate())
    assert "yaml-language-server: $schema=../../pipeline/manifest/" in path.read_text("utf-8")


def put(place: Place, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        at(document, place[:-1])[place[-1]] = value

    return change


def drop(place: Place) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        del at(document, place[:-1])[place[-1]]

    return change


def mutations(node: dict[str, Any], value: Any, place: Place) -> Iterator[Mutation]:
    """Every way to break what the schema says about `value`, and about what it holds."""
    node = resolve(node, value)
    if place:
        yield from own_mutations(node, value, place)
    for name in node.get("required", []):
        yield f"without {dotted((*place, name))}", drop((*place, name))
    if node.get("additionalProperties") is False:
        yield f"unknown key in {dotted(place)}", put((*place, "approved"), True)
    if "propertyNames" in node:
        other = next(iter(value.values()))
        yield f"odd key in {dotted(place)}", put((*place, ODD), other)
    if isinstance(value, dict):
        for name, child in value.items():
            below = node.get("properties", {}).get(name) or node["additionalProperties"]
            yield from mutations(below, child, (*place, name))
    elif isinstance(value, list):
        for index, child in enumerate(value[:3]):
            yield from mutations(node["items"], child, (*place, index))


def own_mutations(node: dict[str, Any], value: Any, place: Place) -> Iterator[Mutation]:
    where = dotted(place)
    for other in NOT_OF_TYPE[node["type"]]:
        yield f"{where} = {other!r}", put(place, other)
    if "const" in node or "enum" in node or "pattern" in node:
        prose = re.search(node.get("pattern", "(?!)"), ODD)
        yield f"{where} odd", put(place, "\x7f" if prose else ODD)
    if "minimum" in node:
        yield f"{where} too small", put(place, node["minimum"] - 1)
    if "exclusiveMinimum" in node:
        yield f"{where} at its lower bound", put(place, node["exclusiveMinimum"])
    if "maximum" in node:
        yield f"{where} too large", put(place, node["maximum"] + 1)
    if "maxLength" in node:
        yield f"{where} too long", put(place, "a" * (node["maxLength"] + 1))
    if "minItems" in node:
        yield f"{where} too few", put(place, value[: node["minItems"] - 1])
    if "maxItems" in node and node["maxItems"] <= 200:
        yield f"{where} too many", put(place, value[:1] * (node["maxItems"] + 1))
    if "minProperties" in node:
        yield f"{where} empty", put(place, {})
    if node.get("uniqueItems"):
        yield f"{where} repeated", put(place, value + value[:1])


def accepted(document: dict[str, Any]) -> bool:
    model, problems = check(parse("m.yaml", json.dumps(document).encode()))
    return model is not None and not problems


def test_each_structural_mutation_is_refused_by_the_schema_and_by_the_loader(valid):
    validator = jsonschema.Draft202012Validator(generate())
    assert accepted(valid)
    assert validator.is_valid(valid)
    tried = 0
    for name, change in mutations(described(), valid, ()):
        broken = copy.deepcopy(valid)
        change(broken)
        assert not validator.is_valid(broken), f"the schema accepts: {name}"
        assert not accepted(broken), f"the loader accepts: {name}"
        tried += 1
    assert tried > 1000


def test_the_mutations_reach_every_field(valid):
    """A field that the example lacks would escape the test above."""
    valid["spec"]["previous_version"] = "1.1.0"
    valid["spec"]["model"]["digest"] = "sha256:" + "0" * 64
    valid["spec"]["observability"]["tracing"]["endpoint"] = "http://collector:4318"
    valid["spec"]["inference"]["ingress"] = {"host": "fraud.example.com", "tls_secret": "tls"}
    valid["spec"]["inference"]["access"] = {
        "keys_secret": "callers",
        "tokens": {"issuer": "i", "audience": "a", "key_set": "https://login.example.com/keys"},
    }
    valid["spec"]["inference"] |= {
        "lane": "auto",
        "agreement": {"held_out": "held_out.csv", "tolerance": 0.0001},
    }
    assert accepted(valid)
    names = {name for name, _ in mutations(described(), valid, ())}
    # Only the torch lane takes a transform, and it takes no agreement.
    valid["spec"]["model"]["transform"] = "transform.py"
    valid["spec"]["inference"].pop("agreement")
    valid["spec"]["inference"]["lane"] = "torch"
    assert accepted(valid)
    names |= {name for name, _ in mutations(described(), valid, ())}
    for place, schema in sections():
        place = place.partition(" with metric")[0].replace("[]", "[0]")
        for field in schema["properties"]:
            where = f"{place}.{field}" if place else field
            assert any(name.startswith(where) for name in names), where


def test_patterns_mean_the_same_to_editors(valid):
    """Pydantic's patterns run in Rust, the schema's in ECMAScript or Python: no escapes differ."""
    for value in ('"', "'", "\\", "$", "a\nb", "-a", " a", "a/../b", "é"):
        for place in [
            ("spec", "model", "version"),
            ("spec", "model", "uri"),
            ("spec", "data_sources", 0, "version"),
            ("spec", "inference", "golden_inputs", 0, "name"),
        ]:
            changed = copy.deepcopy(valid)
            put(place, value)(changed)
            says = jsonschema.Draft202012Validator(generate()).is_valid(changed)
            assert says == accepted(changed), (place, value)
