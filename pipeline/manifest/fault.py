"""Two fields that do not fit each other, and what is often wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.manifest.paths import Place
from pipeline.manifest.plain import items


@dataclass(frozen=True)
class Fault:
    """Two fields that do not fit. `value` is what is shown when it is not the value at `place`."""

    place: Place
    expected: str
    remedy: str
    value: str | None = None


def missing(place: Place, expected: str) -> Fault:
    """What is to be at `place` is not there."""
    return Fault(place, expected, "Add it.", "missing")


def nearest(name: str, known: Any, otherwise: str) -> str:
    """The remedy for an unknown name: the known one that it looks like, else what is given."""
    import difflib

    # Bounded: a file may name more features than any signature may have.
    near = difflib.get_close_matches(name[:100], list(known)[:1000], n=1)
    return f"Did you mean {near[0]}?" if near else otherwise


def listed(names: list[str]) -> str:
    """The first few of the names."""
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def unique(entries: list[tuple[Place, dict[str, Any]]], key: str) -> Iterator[Fault]:
    """Every second entry with the same text under `key`."""
    seen: set[str] = set()
    for here, entry in entries:
        name = entry.get(key)
        if isinstance(name, str):
            if name in seen:
                yield Fault((*here, key), "a name that no other one has", "Rename one of the two.")
            seen.add(name)


def unique_texts(document: dict[str, Any], place: Place) -> Iterator[Fault]:
    """Every second one of the same texts in the list at `place`."""
    seen: set[str] = set()
    for index, text in enumerate(items(document, place)):
        if isinstance(text, str):
            if text in seen:
                yield Fault((*place, index), "each name once", "Delete one of the two.")
            seen.add(text)
