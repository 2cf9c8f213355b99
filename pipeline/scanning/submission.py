"""The manifest's folder as scanners see it: a copy of its text files, taken once for all of them.

What is left out is listed with the reason, so that no reader takes it for scanned.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from pipeline.errors import InvalidInput, Problem

# Less than what the host copies for a tool: semgrep does not follow a link to a larger folder.
FILE_LIMIT = 4 * 1024 * 1024  # bytes; larger files are data
TOTAL_LIMIT = 24 * 1024 * 1024  # bytes
COUNT_LIMIT = 2000  # files
PROBE = 8192  # bytes, in which a NUL tells a binary file from text

# Not the submitter's work: histories, caches, installed packages.
SKIPPED_FOLDERS = {".git", ".hg", ".svn", "__pycache__", "node_modules"} | {
    f".{tool}_cache" for tool in ("mypy", "pytest", "ruff")
}


def copy(folder: Path, target: Path, leave_out: Collection[Path]) -> dict[str, str]:
    """Copy the text files below `folder` to `target`; return what was left out, and why.

    `leave_out` are files and folders that are checked elsewhere (the model, the state folder).
    Raises InvalidInput when the folder is too large to be one model's, or a source file too large
    to be read.
    """
    target.mkdir(parents=True)
    checked_elsewhere = {path.resolve() for path in leave_out}
    left_out: dict[str, str] = {}
    count = size = 0
    path = folder
    try:
        for path, reason in _walk(folder, checked_elsewhere):
            name = path.relative_to(folder).as_posix()
            reason = reason or _why_not(folder, path)
            if reason:
                left_out[name] = reason
                continue
            count += 1
            size += path.stat().st_size
            if count > COUNT_LIMIT or size > TOTAL_LIMIT:
                raise InvalidInput([_too_large(folder)])
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    except PermissionError as error:
        raise InvalidInput([_unreadable(Path(error.filename or path))]) from None
    return left_out


def _walk(folder: Path, checked_elsewhere: Collection[Path]) -> Iterator[tuple[Path, str]]:
    """Every file below `folder` with the reason to leave it out, or an empty one."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.is_symlink():
            yield path, "a link"
        elif path.resolve() in checked_elsewhere:
            yield path, "checked by other means"
        elif entry.is_dir():
            if entry.name in SKIPPED_FOLDERS or (path / "pyvenv.cfg").exists():
                yield path, "not part of the submission"
            else:
                yield from _walk(path, checked_elsewhere)
        else:
            yield path, ""


def _why_not(folder: Path, path: Path) -> str:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        return "no regular file"
    if path.suffix == ".py":
        # Always scanned, whatever it holds: a NUL must not hide a source.
        if found.st_size > FILE_LIMIT:
            raise InvalidInput([_too_large_source(folder, path)])
        return ""
    if found.st_size > FILE_LIMIT:
        return f"larger than {FILE_LIMIT // 2**20} MiB"
    with path.open("rb") as stream:
        return "binary" if b"\0" in stream.read(PROBE) else ""


def _unreadable(path: Path) -> Problem:
    return Problem(
        file=str(path),
        path="",
        value="unreadable",
        expected="files that can be read, for what cannot be scanned cannot be let through",
        remedy="Give the reader access, or move it out of the manifest's folder.",
    )


def _too_large(folder: Path) -> Problem:
    return Problem(
        file=str(folder),
        path="",
        value="",
        expected=f"a folder of at most {COUNT_LIMIT} text files and {TOTAL_LIMIT // 2**20} MiB",
        remedy="Put the manifest, its model and its sources in a folder of their own.",
    )


def _too_large_source(folder: Path, path: Path) -> Problem:
    return Problem(
        file=str(path.relative_to(folder)),
        path="",
        value=f"{path.stat().st_size} bytes",
        expected=f"Python sources of at most {FILE_LIMIT // 2**20} MiB",
        remedy="Move the data that it holds to a file of its own.",
    )
