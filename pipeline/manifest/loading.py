"""From a file's name to a manifest that holds what its types promise, or to every problem in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pydantic_core
from pydantic import ValidationError

from pipeline import digest
from pipeline.errors import InvalidInput, Problem
from pipeline.manifest import source
from pipeline.manifest.consistency import faults
from pipeline.manifest.document import Document, parse
from pipeline.manifest.types import ModelDeployment

# More than anyone reads; a generated file may have tens of thousands.
LIMIT_PROBLEMS = 100


@dataclass(frozen=True)
class Manifest:
    """A well-formed manifest.

    `data` is the file as read and `digest` its SHA-256: what was validated is what is deployed,
    even if the file changes meanwhile. `document` is its plain JSON form, without defaults, as
    policies see it; `model` is the same with types and defaults.
    """

    path: Path
    data: bytes
    digest: str
    document: dict[str, Any]
    model: ModelDeployment

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the manifest start from."""
        return self.path.parent


def load(path: Path) -> Manifest:
    """Read and check the manifest at `path`.

    Raises InvalidInput with every problem of the file (at most `LIMIT_PROBLEMS`), by line, and
    EnvironmentFailed when the disk fails.
    """
    data = source.read(path)
    document = parse(source.shown(path), data)
    model, problems = check(document)
    if model is None or problems:
        raise InvalidInput(problems)
    return Manifest(path, data, digest.of_bytes(data), document.root, model)


def check(document: Document) -> tuple[ModelDeployment | None, list[Problem]]:
    """The typed manifest, or None, and all problems in the order of the file."""
    problems = list(document.problems)
    errors: list[pydantic_core.ErrorDetails] = []
    model = None
    try:
        # As JSON, because pydantic's strict mode then takes dates from text and lists as tuples.
        model = ModelDeployment.model_validate_json(pydantic_core.to_json(document.root))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
    found = list(islice(faults(document.root), LIMIT_PROBLEMS + 1))
    if errors or found:
        # Needs the schema, which a valid manifest need not wait for.
        from pipeline.manifest import problems as wording

        problems += wording.from_errors(document, errors[: LIMIT_PROBLEMS + 1])
        problems += wording.from_faults(document, found)
    problems.sort(key=lambda problem: (problem.line or 0, problem.path))
    if len(problems) > LIMIT_PROBLEMS:
        del problems[LIMIT_PROBLEMS:]
        problems.append(
            Problem(
                document.file,
                "",
                "wrong in more places than these",
                "none",
                "Correct the ones above first.",
            )
        )
    return model, problems
