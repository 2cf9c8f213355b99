"""What the manifest tests share: the valid example as data, and what is refused about a change."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InvalidInput, Problem
from pipeline.manifest import Manifest, load

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "valid" / "model-manifest.yaml"


@pytest.fixture(scope="session")
def _example() -> dict[str, Any]:
    return load(EXAMPLE).document


@pytest.fixture
def valid(_example: dict[str, Any]) -> dict[str, Any]:
    """The valid example's plain data, to be changed at will."""
    return copy.deepcopy(_example)


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[[Any], Manifest]:
    """Write a document (data, text or bytes) to a file and load it."""

    def write_and_load(document: Any) -> Manifest:
        path = tmp_path / "manifest.yaml"
        if isinstance(document, bytes):
            path.write_bytes(document)
        elif isinstance(document, str):
            path.write_text(document, encoding="utf-8")
        else:
            path.write_text(json.dumps(document), encoding="utf-8")
        return load(path)

    return write_and_load


@pytest.fixture
def refusals(loaded: Callable[[Any], Manifest]) -> Callable[[Any], tuple[Problem, ...]]:
    """The problems of a document that must not be accepted."""

    def problems(document: Any) -> tuple[Problem, ...]:
        with pytest.raises(InvalidInput) as refused:
            loaded(document)
        assert refused.value.problems
        return refused.value.problems

    return problems
