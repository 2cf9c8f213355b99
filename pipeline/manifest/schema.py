"""The manifest's JSON Schema, generated from the types: for editors, messages and the reference.

`python -m pipeline.manifest.schema` writes the shipped file; a test compares the two. The schema
says what a single value must be; what relates one field to another is in `consistency`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipeline.manifest.types import ModelDeployment
from pipeline.manifest.values import LabelKey, Name

FILE = Path(__file__).with_name("model-deployment.schema.json")

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@cache
def described() -> dict[str, Any]:
    """The schema (draft 2020-12), with each field's `effect`. Not to be changed."""
    keys = {}
    for name in (Name, LabelKey):
        schema = TypeAdapter(name).json_schema()
        keys[schema["pattern"]] = schema
    schema = _tidied(ModelDeployment.model_json_schema(), keys)
    assert isinstance(schema, dict)  # noqa: S101  _tidied keeps the kind
    return {"$schema": _DIALECT, **schema}


def generate() -> dict[str, Any]:
    """The schema as shipped."""
    schema: dict[str, Any] = _without(described(), "effect")
    return schema


def text() -> str:
    """The shipped file's content."""
    return json.dumps(generate(), indent=2, ensure_ascii=False) + "\n"


def _tidied(node: Any, keys: dict[str, dict[str, Any]]) -> Any:
    """Pydantic's schema as a file may be: nothing is null, every mapping's keys are checked."""
    if isinstance(node, list):
        return [_tidied(item, keys) for item in node]
    if not isinstance(node, dict):
        return node
    # Defaults of whole sections list fields that are left out by default as null.
    tidy = {key: _tidied(value, keys) for key, value in node.items() if value is not None}
    if isinstance(tidy.get("title"), str):
        del tidy["title"]
    tidy.pop("discriminator", None)
    if tidy.get("format") == "date":
        tidy["pattern"] = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
    branches = tidy.get("anyOf", [])
    if {"type": "null"} in branches:
        # A manifest leaves a key out rather than set it to null: the loader refuses null.
        (other,) = (branch for branch in branches if branch != {"type": "null"})
        del tidy["anyOf"]
        tidy = {**other, **tidy}
    if "patternProperties" in tidy:
        ((pattern, value),) = tidy.pop("patternProperties").items()
        tidy["propertyNames"] = {k: v for k, v in keys[pattern].items() if k != "type"}
        tidy["additionalProperties"] = value
        for name, more in tidy.get("properties", {}).items():
            tidy["properties"][name] = {**value, **more}
    return tidy


def _without(node: Any, key: str) -> Any:
    if isinstance(node, list):
        return [_without(item, key) for item in node]
    if isinstance(node, dict):
        return {k: _without(v, key) for k, v in node.items() if k != key or not isinstance(v, str)}
    return node


def resolve(node: dict[str, Any], value: Any = None) -> dict[str, Any]:
    """`node` with its $ref followed and, of alternatives by kind, the one that `value` chose."""
    if "$ref" in node:
        target = described()["$defs"][node["$ref"].rpartition("/")[2]]
        # The description beside the reference is the field's, and nearer than the type's.
        node = {**target, **{k: v for k, v in node.items() if k != "$ref"}}
    for branch in node.get("oneOf", []):
        chosen = resolve(branch)
        metric = chosen["properties"]["metric"]["const"]
        if isinstance(value, dict) and value.get("metric") == metric:
            return {**chosen, **{k: v for k, v in node.items() if k != "oneOf"}}
    return node


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
