"""What a plain YAML scalar means here: JSON's values, so that every reader sees the same manifest.

YAML 1.1 and 1.2 readers disagree on `yes`, `010`, `1:30`, `0x1F`, `1_000` and dates. The pipeline
reads the file once and hands JSON to policies and schemas, so only spellings on which all agree
are numbers or booleans; the others are text, and a field that wants a number refuses them.
"""

from __future__ import annotations

import math
import re

# Beyond these, a reader that keeps numbers as doubles (as JSON readers may) changes the value.
LARGEST_INTEGER = 2**53 - 1
LONGEST_NUMBER = 40

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NULL = ("", "~", "null")


class Refused(Exception):
    """A scalar that no field can hold. `expected` and `remedy` are a Problem's words."""

    def __init__(self, expected: str, remedy: str) -> None:
        self.expected = expected
        self.remedy = remedy
        super().__init__(expected)


def resolve(text: str) -> str | int | float | bool:
    """The value of a plain scalar. Raises Refused for null and for numbers that JSON lacks."""
    if text in _NULL:
        raise Refused("a value", "Leave the key out when it has no value.")
    if text in ("true", "false"):
        return text == "true"
    if _NOT_FINITE.fullmatch(text):
        raise Refused("a finite number", "Write the measured number, or leave the key out.")
    # Not just a shortcut: int() of a digit string of any length would be quadratic or refuse.
    if len(text) > LONGEST_NUMBER:
        if _FLOAT.fullmatch(text):
            raise Refused(f"a number of at most {LONGEST_NUMBER} characters", "Round it.")
        return text
    if _INTEGER.fullmatch(text):
        whole = int(text)
        if abs(whole) > LARGEST_INTEGER:
            raise Refused(
                f"a whole number between -{LARGEST_INTEGER} and {LARGEST_INTEGER}",
                "Put it in quotes if it is a name; otherwise correct it.",
            )
        return whole
    if _FLOAT.fullmatch(text):
        number = float(text)
        vanished = number == 0 and any(c in "123456789" for c in re.split("[eE]", text)[0])
        if math.isinf(number) or vanished:
            raise Refused("a number that a 64-bit float can hold", "Correct its exponent.")
        return number
    return text
