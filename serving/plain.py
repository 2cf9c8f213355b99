"""Checks on untrusted JSON: each returns the value when it is what it should be, else refuses.

`place` names the value in the refusal.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable
from typing import Any

from serving.errors import UnsafeArchive

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")


def parse(data: bytes, place: str) -> Any:
    """The JSON value in `data`; `place` names it in the refusal."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnsafeArchive(f"{place} is no readable JSON") from error


def shown(value: Any) -> str:
    """`value` for a message, shortened."""
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def fields(value: Any, place: str, required: str, optional: str = "") -> dict[str, Any]:
    """`value` as an object with all of the required keys and no unknown one."""
    if not isinstance(value, dict):
        raise UnsafeArchive(f"{place} is {shown(value)} instead of an object")
    must, may = set(required.split()), set(optional.split())
    if missing := must - value.keys():
        raise UnsafeArchive(f"{place} lacks {', '.join(sorted(missing))}")
    if unknown := value.keys() - must - may:
        raise UnsafeArchive(f"{place} holds the unknown {shown(sorted(unknown))}")
    return value


def variant(value: Any, place: str) -> tuple[str, Any]:
    """`value` as torch writes a union: an object with one key, the kind."""
    if not isinstance(value, dict) or len(value) != 1:
        raise UnsafeArchive(f"{place} is {shown(value)} instead of one tagged value")
    return next(iter(value.items()))


def items(value: Any, place: str, check: Callable[[Any, str], Any]) -> list[Any]:
    """`value` as a list whose items all pass `check`."""
    if not isinstance(value, list):
        raise UnsafeArchive(f"{place} is {shown(value)} instead of a list")
    return [check(item, f"{place}[{index}]") for index, item in enumerate(value)]


def mapping(
    value: Any, place: str, check: Callable[[Any, str], Any], names: re.Pattern[str]
) -> dict[str, Any]:
    """`value` as an object whose keys fit `names` and whose values pass `check`."""
    if not isinstance(value, dict):
        raise UnsafeArchive(f"{place} is {shown(value)} instead of an object")
    return {matching(k, place, names): check(v, f"{place}.{k}") for k, v in value.items()}


def matching(value: Any, place: str, pattern: re.Pattern[str]) -> str:
    """`value` as a text that fits `pattern` as a whole."""
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise UnsafeArchive(f"{place} holds the name {shown(value)}, which is not a plain one")
    return value


def name(value: Any, place: str, *, keywords: bool = False) -> str:
    """`value` as an identifier, and no keyword of Python unless `keywords`."""
    name = matching(value, place, IDENTIFIER)
    if keyword.iskeyword(name) and not keywords:
        raise UnsafeArchive(f"{place} holds the name {shown(value)}, which is not a plain one")
    return name


def boolean(value: Any, place: str = "a flag") -> bool:
    """`value` as true or false."""
    if not isinstance(value, bool):
        raise UnsafeArchive(f"{place} is {shown(value)} instead of true or false")
    return value


def integer(value: Any, place: str = "a number", *, signed: bool = False) -> int:
    """`value` as a whole number of 64 bits."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnsafeArchive(f"{place} is {shown(value)} instead of a whole number")
    if not (-(2**63) if signed else 0) <= value < 2**63:
        raise UnsafeArchive(f"{place} is out of range: {shown(value)}")
    return value


def signed(value: Any, place: str) -> int:
    """`value` as a whole number of 64 bits with a sign."""
    return integer(value, place, signed=True)


def real(value: Any, place: str) -> float | str:
    """`value` as a number, or one of the three texts that stand for what JSON cannot write."""
    if value in ("Infinity", "-Infinity", "NaN"):
        return str(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise UnsafeArchive(f"{place} is {shown(value)} instead of a number")
    return value


def number(kind: str, value: Any, place: str) -> Any:
    """The number in a union of kind `as_int`, `as_float` or `as_bool`."""
    checks: dict[str, Callable[[Any, str], Any]] = {
        "as_int": signed,
        "as_float": real,
        "as_bool": boolean,
    }
    if kind not in checks:
        raise UnsafeArchive(f"{place} holds {shown(kind)} for a number")
    return checks[kind](value, place)


def each(check: Callable[[Any, str], Any]) -> Callable[[Any, str], list[Any]]:
    """The check of a list by the check of its items."""
    return lambda value, place: items(value, place, check)
