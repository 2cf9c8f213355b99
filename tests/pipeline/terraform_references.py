"""Every reference in a Terraform configuration, looked up where it must be declared.

`terraform validate` needs the provider; this needs a parser. It knows modules of the same folder,
and nothing of what a resource exports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

# An expression keeps its text. What follows the name is an attribute of it.
_REFERENCE = re.compile(
    r"(?<![\w.\"/:-])(?:(var|local)\.(\w+)|module\.(\w+)\.(\w+)|"
    r"((?:data\.|ephemeral\.)?aws_\w+\.\w+))"
)


@dataclass
class Module:
    """The declarations of one folder, and what it refers to."""

    folder: Path
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    locals: set[str] = field(default_factory=set)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    blocks: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)


def read(folder: Path) -> Module:
    """The module in `folder`. Raises what hcl2 raises for a file that is no HCL."""
    found = Module(folder)
    for path in sorted(folder.glob("*.tf")):
        document = _parsed(path.read_text())
        for name, body in _named(document.get("variable", [])):
            found.variables[name] = body
        for name, body in _named(document.get("output", [])):
            found.outputs[name] = body
        for name, body in _named(document.get("module", [])):
            found.calls[name] = body
        for block in document.get("locals", []):
            found.locals |= {name for name in block if not name.startswith("__")}
        for kind, prefix in (("resource", ""), ("data", "data."), ("ephemeral", "ephemeral.")):
            for type_, named in _named(document.get(kind, [])):
                found.blocks |= {f"{prefix}{type_}.{name}" for name, _ in _named([named])}
        found.used |= set(_references(document))
    return found


def faults(folder: Path) -> list[str]:
    """What does not fit in `folder` and in the modules that it calls, each in a sentence."""
    module = read(folder)
    declared = (
        {f"var.{name}" for name in module.variables}
        | {f"local.{name}" for name in module.locals}
        | module.blocks
    )
    found = []
    for call, arguments in module.calls.items():
        source = (folder / _text(arguments["source"])).resolve()
        called = read(source)
        declared |= {f"module.{call}.{name}" for name in called.outputs}
        given = {name for name in arguments if not name.startswith("__")} - {"source"}
        required = {name for name, body in called.variables.items() if "default" not in body}
        found += [f"module.{call} has no argument {name}" for name in required - given]
        found += [f"module.{call} takes no {name}" for name in given - called.variables.keys()]
        found += faults(source)
    found += [f"{name} is not declared" for name in module.used - declared]
    never = {name for name in declared - module.used if name.split(".")[0] in _MUST_BE_USED}
    found += [f"{name} is never used" for name in never if not name.startswith("module.")]
    for kind, items in (("var", module.variables), ("output", module.outputs)):
        found += [
            f"{kind}.{name} has no {need}"
            for name, body in items.items()
            for need in ("description", "type" if kind == "var" else "value")
            if need not in body
        ]
    return sorted({f"{folder.name}: {fault}" if ": " not in fault else fault for fault in found})


_MUST_BE_USED = {"var", "local", "data", "ephemeral"}


@cache
def _parsed(text: str) -> dict[str, Any]:
    return dict(hcl2.loads(text))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "__comments__":
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
    elif isinstance(value, str):
        for one, name, module, output, block in _REFERENCE.findall(value):
            yield block or (f"module.{module}.{output}" if module else f"{one}.{name}")


def _named(blocks: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in blocks:
        for name, body in block.items():
            if not name.startswith("__"):
                yield _text(name), body


def _text(quoted: str) -> str:
    return quoted.strip('"')
