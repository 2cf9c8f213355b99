"""What pydantic finds wrong, in the words of the person who wrote the file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from pipeline.errors import Problem
from pipeline.manifest.document import Document
from pipeline.manifest.fault import Fault
from pipeline.manifest.paths import Place, at, dotted, kind, shown
from pipeline.manifest.schema import described, resolve


def line_of(document: Document, place: Place) -> int | None:
    """The line of `place`, or of the nearest thing around it that the file has."""
    for end in range(len(place), -1, -1):
        line = document.lines.get(place[:end])
        if line is not None:
            return line
    return None


def spoiled(document: Document, place: Place) -> bool:
    """Whether the file's own words for `place` were refused already."""
    return any(place[:end] in document.spoiled for end in range(len(place) + 1))


def from_errors(document: Document, errors: Sequence[ErrorDetails]) -> Iterator[Problem]:
    """Pydantic's errors, but for those that follow from a problem which is already known."""
    for error in errors:
        place, is_key = _place(error["loc"], document.root)
        if not spoiled(document, place) and not _miscounted(document, error, place):
            yield _problem(document, error, place, is_key)


def from_faults(document: Document, found: Iterable[Fault]) -> Iterator[Problem]:
    """The contradictions between fields, but for those of fields that are already refused."""
    for fault in found:
        if not spoiled(document, fault.place):
            value = shown(at(document.root, fault.place)) if fault.value is None else fault.value
            yield Problem(
                document.file,
                dotted(fault.place),
                value,
                fault.expected,
                fault.remedy,
                line_of(document, fault.place),
            )


def _miscounted(document: Document, error: ErrorDetails, place: Place) -> bool:
    """Pydantic counts only the valid items of a list, whose invalid ones are problems already."""
    value = at(document.root, place)
    too_short = error["type"] == "too_short" and isinstance(value, list | Mapping)
    return too_short and len(value) >= error["ctx"]["min_length"]


def _problem(document: Document, error: ErrorDetails, place: Place, is_key: bool) -> Problem:
    reason = error["type"]
    if reason.startswith("union_tag_"):
        place = (*place, "metric")
        reason = "missing" if reason == "union_tag_not_found" else reason
    value = at(document.root, place)
    schema = _schema_at(document.root, place)
    description = schema.get("description", "")
    correct = f"Correct it. Meaning: {description}" if description else "Correct it."
    if reason == "extra_forbidden":
        return _unknown(document, place)
    if reason == "missing":
        shown_value, expected = "missing", words(schema)
        remedy = correct.replace("Correct", "Add", 1)
    elif is_key:
        shown_value = "a key that is not allowed"
        expected = words(_schema_at(document.root, place[:-1]).get("propertyNames", {}))
        remedy = "Rename it."
    elif reason == "value_error":
        shown_value, expected = shown(value), str(error["ctx"]["error"])
        remedy = correct
    else:
        shown_value, expected = shown(value), words(schema)
        remedy = correct
        wanted, given = _family(schema), kind(value)
        if wanted and wanted != given and not (wanted == "a number" and given == "a whole number"):
            expected += f", not {given}"
            remedy = _conversion(wanted, value) or remedy
    return Problem(
        document.file, dotted(place), shown_value, expected, remedy, line_of(document, place)
    )


def _place(location: Sequence[str | int], root: Any) -> tuple[Place, bool]:
    """Pydantic's location as a place in the file, and whether it means the key itself.

    Pydantic also lists the alternative that it chose for a mapping; the file has no such step.
    """
    place: list[str | int] = []
    for index, step in enumerate(location):
        if step == "[key]":
            return tuple(place), True
        around = at(root, tuple(place))
        is_choice = isinstance(around, Mapping) and around.get("metric") == step
        if is_choice and index and isinstance(location[index - 1], int):
            continue
        place.append(step)
    return tuple(place), False


def _unknown(document: Document, place: Place) -> Problem:
    siblings = list(_schema_at(document.root, place[:-1]).get("properties", {}))
    name = str(place[-1])
    near = difflib.get_close_matches(name[:100], siblings, n=1, cutoff=0.6)
    elsewhere = [path for path in _field_places() if path[-1] == name]
    if near:
        remedy = f"Did you mean {near[0]}?"
    elif len(elsewhere) == 1:
        remedy = f"It belongs at {dotted(elsewhere[0])}."
    else:
        remedy = "Remove it: nothing would read it."
    return Problem(
        document.file,
        dotted(place),
        "an unknown key",
        f"one of {', '.join(siblings)}",
        remedy,
        line_of(document, place),
    )


def _field_places() -> list[Place]:
    found: list[Place] = []

    def walk(node: dict[str, Any], place: Place) -> None:
        for name, child in resolve(node).get("properties", {}).items():
            found.append((*place, name))
            walk(child, (*place, name))

    walk(described(), ())
    return found


def _schema_at(root: Any, place: Place) -> dict[str, Any]:
    node = resolve(described(), root)
    for end, step in enumerate(place, 1):
        value = at(root, place[:end])
        if isinstance(step, int):
            node = node.get("items", {})
        elif step in node.get("properties", {}):
            node = node["properties"][step]
        elif "oneOf" in node:
            metrics = [resolve(branch)["properties"][step] for branch in node["oneOf"]]
            return {
                "enum": [metric["const"] for metric in metrics],
                "description": "What is watched.",
            }
        else:
            more = node.get("additionalProperties", {})
            node = more if isinstance(more, dict) else {}
        node = resolve(node, value)
    return node


def words(schema: Mapping[str, Any]) -> str:
    """What a value must be, from its schema: `a number from 0 to 1`."""
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if "patternErrorMessage" in schema:
        return str(schema["patternErrorMessage"])
    match schema.get("type"):
        case "boolean":
            return "true or false"
        case "integer" | "number" as number:
            return ("a whole number" if number == "integer" else "a number") + _range(schema)
        case "array":
            return "a list" + _size(schema.get("minItems"), schema.get("maxItems"))
        case "object":
            required = schema.get("required", [])
            return "a mapping" + (f" with {', '.join(required)}" if required else "")
        case _:
            return "a mapping" if "oneOf" in schema else "a value"


def _range(schema: Mapping[str, Any]) -> str:
    low, high, above = (schema.get(k) for k in ("minimum", "maximum", "exclusiveMinimum"))
    parts = []
    if low is not None and high is not None:
        return f" from {low:g} to {high:.15g}"
    if above is not None:
        parts.append(f"above {above:g}")
    if low is not None:
        parts.append(f"of at least {low:g}")
    if high is not None:
        parts.append(f"at most {high:.15g}")
    return "".join(f" {part}" for part in [" and ".join(parts)] if part)


def _size(least: int | None, most: int | None) -> str:
    if least and most:
        return f" of {least} to {most}"
    return f" of at most {most}" if most else ""


def _family(schema: Mapping[str, Any]) -> str:
    if "const" in schema or "enum" in schema:
        return "text"
    return {
        "string": "text",
        "boolean": "true or false",
        "integer": "a whole number",
        "number": "a number",
        "array": "a list",
        "object": "a mapping",
    }.get(schema.get("type", ""), "a mapping" if "oneOf" in schema else "")


def _conversion(wanted: str, value: Any) -> str:
    if wanted == "text" and isinstance(value, int | float):
        return "Put it in quotes."
    if wanted == "true or false" and isinstance(value, str):
        return "Write true or false, in small letters and without quotes."
    if wanted in ("a number", "a whole number") and isinstance(value, str):
        return "Write a plain decimal number, without quotes."
    return ""
