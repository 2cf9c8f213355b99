"""Noticing that a folder was changed since it was made, in a fraction of the time of hashing it.

The seal of a folder is one digest over the path, size and time of change of every file in it and
over where its links point. Whoever edits, adds or removes a file breaks it. It is no proof against
somebody who may write there and sets the times back: such a user could as well write a new folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline import digest
from pipeline.state import write_atomically


def of(folder: Path) -> str:
    """The seal of everything below `folder`, compiled files and links included."""
    return digest.of_json(dict(_entries(folder)))


def put(folder: Path) -> None:
    """Write down the seal of `folder`, beside it."""
    write_atomically(place_of(folder), of(folder).encode())


def holds(folder: Path) -> bool:
    """Whether `folder` is as it was when its seal was put; False also when it has none."""
    try:
        return place_of(folder).read_text() == of(folder)
    except OSError:
        return False


def place_of(folder: Path) -> Path:
    """Where the seal of `folder` is kept."""
    return folder.with_name(f"{folder.name}.seal")


def _entries(folder: Path) -> Iterator[tuple[str, str]]:
    for parent, folders, files in os.walk(folder):
        relative = os.path.relpath(parent, folder)
        for name in folders + files:
            path = Path(parent, name)
            status = path.lstat()
            if path.is_symlink():
                yield f"{relative}/{name}", f"link {path.readlink()}"
            elif name in files:
                yield f"{relative}/{name}", f"{status.st_size} {status.st_mtime_ns}"
