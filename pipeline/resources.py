"""The files that travel with the pipeline: policies, the server's sources, locks, overlays."""

from __future__ import annotations

from pathlib import Path


def package() -> Path:
    """The package itself."""
    return Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The bundled folder `name` (`policies`, `serving`, `kustomize`, `requirements`).

    In a source tree it lies beside the package; a wheel carries a copy inside it.
    """
    for candidate in (package() / "bundled" / name, package().parent / name):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the installation lacks its {name} folder")
