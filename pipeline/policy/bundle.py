"""The policy bundle: the Rego modules and the data that a decision rests on, with their digest.

A policies folder holds `*.rego` at any depth (tests, `*_test.rego`, stay out) and `data/*.yaml`.
The user's own folder either stands in the place of ours (`replace`) or adds to it (`extend`): its
data is laid over ours, and its rules come in packages of their own, so that they can deny more and
never unsay one of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import digest
from pipeline.errors import InvalidInput, Problem
from pipeline.policy import data
from pipeline.policy.annotations import Rule, annotated

GOVERNANCE = "mlifecycle.governance"
SUPPLY_CHAIN = "mlifecycle.supply_chain"
DEPLOYMENT = "mlifecycle.deployment"

MODES = ("extend", "replace")

_PACKAGE = re.compile(r"^\s*package\s+(\S+)\s*(?:#.*)?$", re.MULTILINE)
_COMMENT_OR_SPACE = re.compile(r"(?:\s|#[^\n]*(?:\n|$))*")
_EXTENSION = re.compile(
    r"mlifecycle\.extensions\.(?:(governance|supply_chain|deployment)\.(\w+)|lib\.\w+)"
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What an engine evaluates.

    `modules` maps a module's name (its path in the folder) to its source, `data` is the base
    document, `rules` the annotated rules by id, `extensions` the user's rule packages by the
    package that they add to. `digest` covers all of it. `own` is set when a user's folder is part
    of it, which nobody but OPA has checked.
    """

    modules: Mapping[str, str]
    data: Mapping[str, Any]
    rules: Mapping[str, Rule]
    extensions: Mapping[str, tuple[str, ...]]
    digest: str
    own: bool = False

    @classmethod
    def load(cls, policies: Path, extra: Path | None = None, mode: str = "extend") -> Bundle:
        """Read our folder, and the user's if there is one.

        `mode` is one of MODES. Raises InvalidInput for a missing folder and for what cannot be
        read, with every problem. Whether the modules compile is the engine's to say.
        """
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}, not one of {MODES}")
        if extra is not None and not extra.is_dir():
            raise InvalidInput([_problem(extra, "no folder", "a folder with Rego policies", "")])
        if extra is not None and mode == "replace":
            return cls._of(_modules(extra, extra), data.read(extra / "data"), {}, own=True)
        modules = _modules(policies, policies)
        settings = data.read(policies / "data")
        extensions: dict[str, tuple[str, ...]] = {}
        if extra is not None:
            _require_read(extra)
            added = {f"extensions/{name}": text for name, text in _modules(extra, extra).items()}
            extensions = _extensions(added)
            modules |= added
            settings = data.merged(settings, data.read(extra / "data"))
        return cls._of(modules, settings, extensions, own=extra is not None)

    @classmethod
    def _of(
        cls,
        modules: dict[str, str],
        settings: Mapping[str, Any],
        extensions: Mapping[str, tuple[str, ...]],
        *,
        own: bool,
    ) -> Bundle:
        document = {"mlifecycle": {"environments": settings}}
        content = {"modules": modules, "data": document}
        name = digest.of_json(content)
        return cls(modules, document, _rules(modules), extensions, name, own)


def _modules(folder: Path, root: Path) -> dict[str, str]:
    modules: dict[str, str] = {}
    problems: list[Problem] = []
    for path in sorted(folder.rglob("*.rego")):
        if path.name.endswith("_test.rego") or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(_problem(path, "unreadable", "UTF-8 text", f"Correct it: {error}."))
            continue
        if "\0" in text:
            # The engine reads up to it: the rest would be lost without a word.
            problems.append(_problem(path, "cut by a NUL", "text", "Delete the NUL character."))
        modules[path.relative_to(root).as_posix()] = text
    if problems:
        raise InvalidInput(problems)
    return modules


def _require_read(folder: Path) -> None:
    """Raise InvalidInput for what looks like a policy or setting and would not be read.

    A rule that somebody believes to be in force and that is not is worse than an error.
    """
    problems = []
    read = 0
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if path.is_symlink() and not path.is_file():
            problems.append(_problem(path, "a link", "a file", "Put the files themselves there."))
        elif suffix in {".yaml", ".yml", ".json"}:
            if path.parent == folder / "data" and path.suffix == ".yaml":
                read += 1
            else:
                expected = "settings as data/ENVIRONMENT.yaml"
                problems.append(_problem(path, "not read there", expected, "Move or rename it."))
        elif suffix == ".rego":
            if path.suffix == ".rego" and path.is_file():
                read += not path.name.endswith("_test.rego")
            else:
                problems.append(_problem(path, "not read", "a file *.rego", "Rename it."))
    if not problems and folder.is_dir() and read == 0:
        expected = "*.rego (tests apart) or data/ENVIRONMENT.yaml"
        problems.append(_problem(folder, "a folder without policies", expected, "Add some."))
    if problems:
        raise InvalidInput(problems)


def _extensions(modules: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The packages with rules, by the package of ours that they add to."""
    found: dict[str, set[str]] = {}
    problems: list[Problem] = []
    for name, text in modules.items():
        package = _package(text)
        match = _EXTENSION.fullmatch(package)
        if match is None:
            problems.append(
                Problem(
                    name,
                    "package",
                    package,
                    "mlifecycle.extensions.governance.NAME, …supply_chain.NAME, "
                    "…deployment.NAME or …lib.NAME",
                    "Rename the package, or use --policies-mode replace.",
                )
            )
        elif match[1] is not None:
            found.setdefault(f"mlifecycle.{match[1]}", set()).add(package)
    if problems:
        raise InvalidInput(problems)
    return {gate: tuple(sorted(packages)) for gate, packages in found.items()}


def _package(text: str) -> str:
    start = _COMMENT_OR_SPACE.match(text)
    match = _PACKAGE.match(text, start.end() if start else 0)
    return match[1] if match else ""


def _rules(modules: Mapping[str, str]) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    problems: list[Problem] = []
    for name, text in modules.items():
        try:
            rules = annotated(name, text)
        except InvalidInput as error:
            problems.extend(error.problems)
            continue
        for rule in rules:
            other = found.setdefault(rule.id, rule)
            if other is not rule:
                place = f"a rule's own id; {other.module}:{other.line} has it"
                problems.append(Problem(name, "id", rule.id, place, "Rename one.", rule.line))
    if problems:
        raise InvalidInput(problems)
    return found


def _problem(path: Path, value: str, expected: str, remedy: str) -> Problem:
    return Problem(str(path), "", value, expected, remedy or "Check the path.")
