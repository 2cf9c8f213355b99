from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "environment"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to("/usr/bin/python3")
    (place / "lib" / "__pycache__").mkdir(parents=True)
    (place / "lib" / "a.py").write_text("one = 1\n")
    (place / "lib" / "__pycache__" / "a.pyc").write_bytes(b"one")
    seal.put(place)
    return place


def relink(folder: Path) -> None:
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").symlink_to("/elsewhere")


CHANGES: dict[str, Callable[[Path], object]] = {
    "edited": lambda f: (f / "lib" / "a.py").write_text("two = 22\n"),
    "touched": lambda f: os.utime(f / "lib" / "a.py", (1, 1)),
    "compiled anew": lambda f: (f / "lib" / "__pycache__" / "a.pyc").write_bytes(b"evil"),
    "added": lambda f: (f / "lib" / "start.pth").write_text("import evil\n"),
    "removed": lambda f: (f / "lib" / "a.py").unlink(),
    "linked elsewhere": relink,
    "unsealed": lambda f: seal.place_of(f).unlink(),
}


def test_what_nobody_touched_holds(folder: Path) -> None:
    assert seal.holds(folder)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_breaks_it(folder: Path, change: Callable[[Path], object]) -> None:
    change(folder)
    assert not seal.holds(folder)
