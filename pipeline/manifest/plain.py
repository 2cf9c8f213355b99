"""Plain data that may be anything, asked for what it should be; what is not is passed over."""

from __future__ import annotations

from typing import Any

from pipeline.manifest.paths import Place, at
from pipeline.manifest.values import seconds


def texts(document: dict[str, Any], place: Place) -> list[str] | None:
    """The list of texts at `place`; None for an empty one, and where anything in it is no text."""
    texts = items(document, place)
    return texts if texts and all(isinstance(text, str) for text in texts) else None


def items(document: dict[str, Any], place: Place) -> list[Any]:
    """The list at `place`; an empty one where there is none."""
    value = at(document, place)
    return value if isinstance(value, list) else []


def duration(value: Any) -> float | None:
    """Its seconds, where it is a duration at all."""
    try:
        return seconds(value) if isinstance(value, str) else None
    except ValueError:
        return None


def mapping(document: dict[str, Any], place: Place) -> dict[str, Any] | None:
    """The mapping at `place`, where there is one."""
    value = at(document, place)
    return value if isinstance(value, dict) else None


def mappings(document: dict[str, Any], place: Place) -> list[tuple[Place, dict[str, Any]]]:
    """The mappings in the list at `place`, each with its own place."""
    entries = enumerate(items(document, place))
    return [((*place, i), entry) for i, entry in entries if isinstance(entry, dict)]


def number(value: Any) -> float | None:
    """The value, where it is a number."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
