"""Policy data: one YAML file an environment, named after it, with its thresholds and lists."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.environment import Environment
from pipeline.errors import InvalidInput, Problem

_NAMES = ", ".join(f"{environment.value}.yaml" for environment in Environment)


class Loader(yaml.SafeLoader):
    """YAML without dates, which JSON lacks, and without keys given twice, of which one is lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                raise _refused(key, f"the key {key.value!r} is no text; put it in quotes")
            if key.value in seen:
                raise _refused(key, f"the key {key.value!r} is given twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _refused(node: yaml.Node, reason: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, reason, node.start_mark)


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The settings in `folder` by environment. Raises InvalidInput with every problem found."""
    found: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        if path.stem not in set(Environment) or path.suffix == ".yml":
            problems.append(
                Problem(
                    str(path),
                    "",
                    "",
                    f"a file of an environment: {_NAMES}",
                    "Rename the file; settings apply to the environment that it is named after.",
                )
            )
            continue
        try:
            found[path.stem] = _settings(path)
        except InvalidInput as error:
            problems.extend(error.problems)
    if problems:
        raise InvalidInput(problems)
    return found


def _settings(path: Path) -> dict[str, Any]:
    line = None
    try:
        if not path.is_file():
            raise OSError("it is not a regular file")
        value = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)  # noqa: S506  Loader is a SafeLoader
        if isinstance(value, dict) and is_json(value):
            return value
        reason = "it is no mapping of JSON values (no NaN, infinity, dates, sets or bytes)"
    except (OSError, UnicodeDecodeError) as error:
        reason = str(error)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
    except (RecursionError, ValueError) as error:
        reason = str(error)
    raise InvalidInput(
        [Problem(str(path), "", "unreadable", "settings in YAML", f"Correct it: {reason}.", line)]
    )


def is_json(value: Any) -> bool:
    """Whether `value` is what JSON can say: no NaN, infinity, dates, sets or bytes."""
    match value:
        case dict():
            return all(isinstance(key, str) and is_json(item) for key, item in value.items())
        case list():
            return all(is_json(item) for item in value)
        case float():
            return math.isfinite(value)
        case _:
            return value is None or isinstance(value, str | bool | int)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid upon it: mappings key by key, everything else replaced whole."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result
