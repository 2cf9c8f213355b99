"""Unix sockets whose paths are longer than a socket address."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import EnvironmentFailed

# The least of the systems' limits (macOS has 104 bytes with the closing zero, Linux 108).
LONGEST = 103


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """A name for the socket at `path` that fits; good while the context is open.

    On Linux a long path is named through an open descriptor of its folder. Raises
    FileNotFoundError when the folder is gone, EnvironmentFailed where there is no such way.
    """
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    if not Path("/proc/self/fd").is_dir():
        raise EnvironmentFailed(
            f"The path {path} is too long for a socket on this system.",
            f"Choose a state folder such that it has at most {LONGEST} bytes.",
        )
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
