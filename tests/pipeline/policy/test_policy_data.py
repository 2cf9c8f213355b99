"""The data files: strict YAML, one an environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import InvalidInput
from pipeline.policy import data


def refused(folder: Path) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        data.read(folder)
    return [str(problem) for problem in caught.value.problems]


def test_dates_stay_text(tmp_path: Path) -> None:
    (tmp_path / "local.yaml").write_text("expires: 2026-12-31\n")
    assert data.read(tmp_path) == {"local": {"expires": "2026-12-31"}}


def test_a_folder_without_data_has_none(tmp_path: Path) -> None:
    assert data.read(tmp_path / "absent") == {}


@pytest.mark.parametrize("name", ["production.yaml", "Local.yaml", "local.yml"])
def test_a_file_of_no_environment_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a: 1\n")
    (problem,) = refused(tmp_path)
    assert "prod.yaml" in problem


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", 3),
        ("x:\n  a: 1\n  a: 1\n", 3),
        ("a: [1\n", 2),
        ("a: 1\n1: 2\n", 2),
        ("a: !!python/object:os.system {}\n", 1),
        ("a: .nan\n", None),
        ("a: -.inf\n", None),
        ("a: !!set {x}\n", None),
        ("a: !!binary aGk=\n", None),
        ("- 1\n", None),
        ("", None),
        ("a: &a [*a]\n", None),
    ],
)  # fmt: skip
def test_what_is_no_settings_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int | None
) -> None:
    path = tmp_path / "local.yaml"
    path.write_text(text)
    (problem,) = refused(tmp_path)
    assert problem.startswith(f"{path}:{line}:" if line else f"{path}:")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "local.yaml").write_bytes(b"a: \xff\n")
    (tmp_path / "dev.yaml").write_bytes(b"a: 1\na: 2\n")
    assert len(refused(tmp_path)) == 2


def test_mappings_merge_and_all_else_is_replaced() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    over = {"a": {"c": [3], "e": 2}, "d": {"f": 1}}
    assert data.merged(base, over) == {"a": {"b": 1, "c": [3], "e": 2}, "d": {"f": 1}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}
