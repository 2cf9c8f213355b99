"""SHA-256 names for bytes, files, folders and JSON: the only identity that the pipeline trusts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def of_bytes(data: bytes) -> str:
    """The digest as `sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def of_json(value: Any) -> str:
    """The digest of the canonical JSON form: sorted keys, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return of_bytes(text.encode())


def of_file(path: Path) -> str:
    """The digest of a file's content, read in blocks."""
    with path.open("rb") as stream:
        return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()


def files_of(root: Path, *, caches: bool = False) -> dict[str, str]:
    """Every file below `root` by its relative POSIX path, with its digest, in sorted order.

    Interpreter caches are no part of anyone's content; `caches` lists them all the same, where one
    that is there at all is a change. A link counts as where it points to, not
    as what lies there, so that a folder's digest never depends on something outside it.
    """
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        if not caches and "__pycache__" in path.relative_to(root).parts:
            continue
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = of_bytes(b"link:" + str(path.readlink()).encode())
        elif path.is_file():
            found[name] = of_file(path)
    return found


def of_folder(root: Path) -> str:
    """One digest for all that `files_of` lists."""
    return of_json(files_of(root))


def short(digest: str) -> str:
    """The first twelve hex digits: for people, never for identity."""
    return digest.removeprefix("sha256:")[:12]
