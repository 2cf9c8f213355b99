"""Places and values in words: how messages name a place in a manifest and show what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

# Keys and list indices from the top-level mapping down.
Place: TypeAlias = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_LONGEST_VALUE = 60


def dotted(place: Place) -> str:
    """`spec.dependencies[2]`; a key that is no plain word is quoted: `labels["a.b/c"]`."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(shorten(step), ensure_ascii=False)}]"
    return text


def shorten(text: str, limit: int = _LONGEST_VALUE) -> str:
    """On one line, without control characters, and cut to `limit` characters."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shown(value: Any) -> str:
    """A value as the user wrote it, near enough: text in quotes, collections by their size."""
    match value:
        case str():
            return json.dumps(shorten(value), ensure_ascii=False)
        case bool():
            return "true" if value else "false"
        case Mapping():
            keys = ", ".join(shorten(str(key), 20) for key in list(value)[:3])
            more = ", …" if len(value) > 3 else ""
            return f"a mapping ({keys}{more})" if value else "an empty mapping"
        case list():
            return f"a list of {len(value)}" if value else "an empty list"
        case _:
            return shorten(str(value))


def kind(value: Any) -> str:
    """What a value is, for `expected a number, not text`."""
    match value:
        case str():
            return "text"
        case bool():
            return "true or false"
        case int():
            return "a whole number"
        case float():
            return "a number"
        case Mapping():
            return "a mapping"
        case _:
            return "a list"


def at(document: Any, place: Place) -> Any:
    """The value at `place`, or None where the document ends before it."""
    for step in place:
        if isinstance(document, Mapping):
            document = document.get(step)
        elif isinstance(document, list) and isinstance(step, int) and step < len(document):
            document = document[step]
        else:
            return None
    return document
