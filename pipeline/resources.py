"""The files that travel with the pipeline: policies and the server's sources."""

from __future__ import annotations

from pathlib import Path


def folder(name: str) -> Path:
    """The bundled folder `name` (`policies`, `serving`).

    In a source tree it lies beside the package; a wheel carries a copy inside it.
    """
    package = Path(__file__).parent
    for candidate in (package / "bundled" / name, package.parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the installation lacks its {name} folder")
