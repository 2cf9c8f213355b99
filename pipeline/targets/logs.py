"""The servers' logs: one file an instance, bounded in size and in number.

A server writes to its file directly, so that it needs nobody alive to take what it says.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Set
from pathlib import Path

LARGEST = 8 * 1024 * 1024
KEPT = 10
_TAIL = 256 * 1024


def tail(path: Path, lines: int) -> list[str]:
    """The last `lines` lines of the file; empty when there is none."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - max(_TAIL, lines * 200)))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines:] if lines > 0 else []


def last(folder: Path, lines: int) -> list[str]:
    """The last `lines` lines over all the servers' logs in `folder`, oldest first."""
    found: list[str] = []
    for path in _by_age(folder):
        if len(found) >= lines:
            break
        found = tail(path, lines - len(found)) + found
    return found


def bound(folder: Path, alive: Set[str]) -> None:
    """Cut logs that grew too large (what they held goes to `.1`) and drop the oldest ones.

    `alive` names the instances whose logs stay whatever their age. What a server writes between
    the copy and the cut is lost; its next line is not.
    """
    for path in _by_age(folder):
        with contextlib.suppress(OSError):
            if path.stat().st_size > LARGEST:
                shutil.copyfile(path, path.with_suffix(".log.1"))
                os.truncate(path, 0)
    for path in _by_age(folder)[KEPT:]:
        if path.stem not in alive:
            with contextlib.suppress(OSError):
                path.unlink()
                path.with_suffix(".log.1").unlink()


def _by_age(folder: Path) -> list[Path]:
    """The instances' logs, newest first. An instance's name begins with its time."""
    return sorted((path for path in folder.glob("[0-9]*.log")), reverse=True)
