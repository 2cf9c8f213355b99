"""The annotations of rules: what a rule is called, why it exists, what to do when it fires.

OPA's own form: a comment block that starts with `# METADATA` and is YAML. A block is a rule of ours
when `custom.id` names one; others are documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from pipeline.errors import InvalidInput, Problem
from pipeline.verdict import Level


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy. `module` is the file that has it, `line` where its block starts."""

    id: str
    title: str
    description: str
    severity: Level
    remedy: str
    module: str
    line: int


def annotated(module: str, text: str) -> list[Rule]:
    """The rules that a module annotates, in its order. Raises InvalidInput with every problem."""
    found: list[Rule] = []
    problems: list[Problem] = []
    for line, block in _blocks(text):
        try:
            rule = _rule(module, line, yaml.safe_load(block))
        except (yaml.YAMLError, ValueError) as error:
            problems.append(
                Problem(
                    module,
                    "",
                    "an annotation that cannot be read",
                    "title, description and custom with id, severity (deny or warn) and remedy",
                    f"Correct the METADATA block ({str(error).splitlines()[0]}).",
                    line,
                )
            )
            continue
        if rule is not None:
            found.append(rule)
    if problems:
        raise InvalidInput(problems)
    return found


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """The 1-based line and the YAML of every METADATA block."""
    start = 0
    block: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        stripped = line.strip()
        if stripped == "# METADATA" and not start:
            start = number
        elif start and stripped.startswith("#"):
            block.append(stripped[1:].removeprefix(" "))
        elif start:
            yield start, "\n".join(block)
            start, block = 0, []


def _rule(module: str, line: int, block: Any) -> Rule | None:
    custom = block.get("custom") if isinstance(block, dict) else None
    if not isinstance(custom, dict) or "id" not in custom:
        return None
    texts = {
        "id": custom["id"],
        "title": block.get("title"),
        "description": block.get("description"),
        "remedy": custom.get("remedy"),
    }
    for name, value in texts.items():
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{name} is missing or no text")
    return Rule(severity=Level(str(custom.get("severity"))), module=module, line=line, **texts)
