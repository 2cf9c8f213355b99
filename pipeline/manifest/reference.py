"""docs/manifest.md, generated from the types: every field, what it means and what it does.

`python -m pipeline.manifest.reference` writes it; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.manifest.document import LIMIT_DEPTH
from pipeline.manifest.problems import words
from pipeline.manifest.scalars import LARGEST_INTEGER
from pipeline.manifest.schema import described, resolve
from pipeline.manifest.source import LIMIT_BYTES

FILE = Path(__file__).parents[2] / "docs" / "manifest.md"

_INTRODUCTION = f"""# The manifest

<!-- Written by `python -m pipeline.manifest.reference`; edit the types, not this page. -->

One YAML file says which model is to be served, what speaks for it, and how it runs.
[model-manifest.yaml](../examples/valid/model-manifest.yaml) is a complete one. `mlifecycle validate
--manifest FILE` names every problem of a file at once, each with its line and what to do about it.

Editors that know `# yaml-language-server: $schema=…` complete and check fields while you type; the
schema is
[model-deployment.schema.json](../pipeline/manifest/model-deployment.schema.json).

## How the file is read

- One regular file of at most {LIMIT_BYTES // 1024} KiB, UTF-8 without a byte-order mark, one
  document, at most {LIMIT_DEPTH} levels deep.
- Unknown keys, keys given twice, tags (`!…`), anchors and aliases (`&…`, `*…`), merge keys (`<<`),
  `%` directives, and control or invisible characters are refused.
- Exactly `true` and `false` are booleans. `yes`, `no`, `on`, `off` and `True` are text, and so are
  dates, `010`, `0x1F`, `1_000` and `1:30`: spellings that YAML readers disagree about.
- Numbers are plain decimals. In quotes they are text, and no field takes one for the other: write
  `accuracy: 0.95`, and `cost-center: "4711"`. `.nan`, `.inf`, numbers that no 64-bit float holds,
  and whole numbers beyond ±{LARGEST_INTEGER} are refused.
- There is no null: leave a key out when it has no value.

A well-formed manifest is not yet a good one. Fields that only a policy asks for are optional here;
the policy answers their absence, with the rule's name. Nothing in a manifest approves anything.

In the last column, *Judged* names the rules that read the field; [policies.md](policies.md)
explains them. *Cluster objects* are those that a Kubernetes target is to render. The `process`
target, which serves on this machine, has no use for such a field; it is checked all the same."""

_BETWEEN = """
## Checks between fields

- `metadata.labels` has `team`, and no label under `kubernetes.io`, `k8s.io` or `mlifecycle.io`.
- Features, classes, golden inputs and alerts have names of their own; attributes, monitored
  features and data sources are listed once.
- A feature's minimum is at most its maximum; both are whole when the feature is an integer.
- A golden input gives a value to every feature and to nothing else, within the feature's range. It
  predicts a class of the signature; its probabilities name every class, make 1 together (each may
  be off by the tolerance), and are highest for the predicted class.
- `monitored_features` and `feature_importance` name features of the signature.
- What is `enabled` is complete: autoscaling has its bounds and target, drift detection its
  threshold and window, tracing its endpoint, rollback at least one trigger.
- `min_replicas` is at most `max_replicas`, and `replicas` lies between them when autoscaling is on.
- An alert on `drift` needs drift detection.
"""


def text() -> str:
    """The page's content."""
    parts = [_INTRODUCTION]
    for place, schema in sections():
        parts.append(f"\n## {f'`{place}`' if place else 'Top level'}\n\n{schema['description']}")
        parts.append("\n| field | value | required | meaning | effect |\n|---|---|---|---|---|")
        required = schema.get("required", [])
        parts.extend(
            _row(place, name, field, name in required)
            for name, field in schema["properties"].items()
        )
    return "\n".join(parts) + "\n" + _BETWEEN


def sections() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping of the manifest with named fields: its place, and its schema."""
    yield from _sections("", described())


def holds_fields(field: dict[str, Any]) -> bool:
    """Whether a field's value is a mapping with named fields, or a list of such."""
    node = resolve(field)
    items = resolve(node.get("items", {}))
    return any("oneOf" in n or n.get("additionalProperties") is False for n in (node, items))


def _sections(place: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    schema = resolve(schema)
    if "oneOf" in schema:
        for branch in schema["oneOf"]:
            chosen = resolve(branch)
            yield f"{place} with metric: {chosen['properties']['metric']['const']}", chosen
        return
    yield place, schema
    for name, field in schema["properties"].items():
        if holds_fields(field):
            node = resolve(field)
            below = f"{place}.{name}" if place else name
            if "items" in node:
                yield from _sections(f"{below}[]", node["items"])
            else:
                yield from _sections(below, field)


def _row(place: str, name: str, field: dict[str, Any], required: bool) -> str:
    node = resolve(field)
    if holds_fields(field):
        below = f"{place}.{name}" if place else name
        value = f"entries: `{below}[]`" if "items" in node else f"see `{below}`"
        effect = "that of its fields"
    else:
        value, effect = _escaped(_value(node)), field["effect"]
    default = field.get("default")
    if required:
        need = "yes"
    elif default is None or isinstance(default, dict) or default == []:
        need = "no"
    else:
        need = f"no: `{json.dumps(default)}`"
    return f"| `{name}` | {value} | {need} | {node['description']} | {effect} |"


def _value(node: dict[str, Any]) -> str:
    if node.get("type") == "array":
        return f"{words(node)}: each {words(resolve(node['items']))}"
    if "propertyNames" in node:
        keys, values = node["propertyNames"], node["additionalProperties"]
        return f"a mapping: each key {words(keys)}; each value {words(values)}"
    return words(node)


def _escaped(cell: str) -> str:
    for character in "\\`*_<>|":
        cell = cell.replace(character, "\\" + character)
    return cell


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
