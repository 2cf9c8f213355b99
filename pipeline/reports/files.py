"""The reports that a run leaves beside its record, each format by its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.record import RunRecord
from pipeline.reports import junit, markdown, sarif
from pipeline.state import write_atomically

RENDERERS: dict[str, Callable[[RunRecord], str]] = {
    "summary.md": markdown.render,
    "reports/mlifecycle.sarif": sarif.render,
    "reports/junit.xml": junit.render,
}


def write(record: RunRecord, run_folder: Path) -> dict[str, Path]:
    """Write every report of a finished run; return their places by their names."""
    places: dict[str, Path] = {}
    for name, render in RENDERERS.items():
        places[name] = run_folder / name
        write_atomically(places[name], render(record).encode(errors="backslashreplace"))
    return places
