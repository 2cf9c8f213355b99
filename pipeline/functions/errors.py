"""How a call fails: the report first, in words, and never with a traceback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dagger

# The SDK shows any other exception with its traceback before the message.
from dagger.mod._exceptions import FunctionError

from pipeline.errors import EnvironmentFailed, InvalidInput, MlifecycleError, first_of
from pipeline.runtimes.containers import said_by


class No(Exception):
    """The pipeline says no. The message is the whole report."""


@asynccontextmanager
async def in_words() -> AsyncIterator[None]:
    """Turn whatever ends a function into one message that a person can act on."""
    try:
        yield
    except Exception as error:
        raise FunctionError(_message(first_of(error))) from None


def _message(error: BaseException) -> str:
    match error:
        case FunctionError() | No():
            return str(error)
        case InvalidInput():
            lines = [f"  {problem}" for problem in error.problems]
            return "\n".join(["invalid input:", *lines])
        case EnvironmentFailed() | MlifecycleError():
            return f"failed: {error}"
        case dagger.QueryError():
            return f"failed: the engine says: {said_by(error)}"
        case dagger.DaggerError():
            return f"failed: the engine went away: {said_by(error)} Call it again."
        case OSError():
            return f"failed: {error}."
    return (
        f"failed by a mistake of mlifecycle's own: {type(error).__name__}: {error}. "
        "Please report it."
    )
