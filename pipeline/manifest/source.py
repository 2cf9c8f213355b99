"""A manifest's bytes: one regular file of bounded size, whatever lies under the given name."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from pipeline.errors import EnvironmentFailed, InvalidInput, Problem

# The examples need 8 KiB. The limit bounds what every later step can cost.
LIMIT_BYTES = 256 * 1024

_REFUSALS = {
    errno.ENOENT: ("missing", "Check the path; it is taken relative to the current folder."),
    errno.ENOTDIR: ("below something that is no folder", "Check the path."),
    errno.EACCES: ("not readable", "Give this user the right to read it."),
    errno.EPERM: ("not readable", "Give this user the right to read it."),
    errno.ELOOP: ("a link that leads to itself", "Name the file itself."),
    errno.ENAMETOOLONG: ("a name too long for this system", "Check the path."),
    errno.ENXIO: ("a socket or device", "Name a regular file."),
}


def shown(path: Path) -> str:
    """The path as text that any terminal and any UTF-8 file can take."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def read(path: Path) -> bytes:
    """The whole file, at most `LIMIT_BYTES`.

    Raises InvalidInput when the name leads to no such file, EnvironmentFailed when reading fails.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer that never comes.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:
        raise _refused(path, "a name that holds a NUL character", "Check the path.") from None
    except OSError as error:
        if error.errno in _REFUSALS:
            raise _refused(path, *_REFUSALS[error.errno]) from None
        raise EnvironmentFailed(f"{shown(path)} cannot be opened: {error.strerror}.") from None
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise _refused(path, "a folder", "Name the manifest inside it.")
        if not stat.S_ISREG(mode):
            raise _refused(path, "a pipe, socket or device", "Write the manifest to a file first.")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            data = stream.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise EnvironmentFailed(f"{shown(path)} cannot be read: {error.strerror}.") from None
    finally:
        os.close(handle)
    if len(data) > LIMIT_BYTES:
        raise _refused(
            path,
            "too large",
            "A manifest describes a model; keep data and weights in files of their own.",
            expected=f"at most {LIMIT_BYTES} bytes",
        )
    return data


def _refused(
    path: Path, value: str, remedy: str, expected: str = "a readable YAML file"
) -> InvalidInput:
    return InvalidInput(
        [Problem(file=shown(path), path="", value=value, expected=expected, remedy=remedy)]
    )
