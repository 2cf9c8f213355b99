"""What can go wrong, by who can mend it.

The exit code belongs to the error, so that every command and every runtime ends the same way:
2 for input that the caller must correct, 3 for a tool or a machine that failed. A pipeline that
says no raises nothing: its report carries the violations, and the command exits 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one input, complete enough to be mended without reading our source.

    `path` is the field in dotted form with list indices (`spec.dependencies[2]`); empty when the
    whole file is meant. `value` is the offending value as the user wrote it, shortened.
    """

    file: str
    path: str
    value: str
    expected: str
    remedy: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        field = f" {self.path}" if self.path else ""
        value = f" is {self.value}" if self.value else ""
        found = f"{field}{value};" if field or value else ""
        return f"{place}:{found} expected {self.expected}. {self.remedy}"


class MlifecycleError(Exception):
    """The base of every error that a command turns into words instead of a traceback."""

    exit_code = 3


class InvalidInput(MlifecycleError):
    """The caller's input is refused. Carries every problem found, not just the first."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class EnvironmentFailed(MlifecycleError):
    """A tool, the machine or a service that we depend on failed; the input may be fine."""

    exit_code = 3

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        stop = "" if not remedy or message.endswith((".", "!", "?")) else "."
        super().__init__(f"{message}{stop} {remedy}".strip())


class Busy(EnvironmentFailed):
    """Another command is at work on the same thing, and went on for longer than we wait."""


def first_of(error: BaseException) -> BaseException:
    """The error inside a task group's: one of ours, if there is one among them."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inside = [first_of(each) for each in error.exceptions]
    return next((each for each in inside if isinstance(each, MlifecycleError)), inside[0])
