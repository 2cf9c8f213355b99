"""The catalog where MLflow is not: every question goes to the program in `__main__.py`.

The program runs wherever the caller has it run, in a container for example. It prints one JSON
document: `{"result": …}` and exit code 0, or `{"error": …}`, which is a `Failure`, and its exit
code.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import anyio.from_thread
from pydantic import BaseModel, ConfigDict, TypeAdapter

from pipeline.catalog.interface import Event, Serving, Version
from pipeline.environment import Environment
from pipeline.errors import Busy, EnvironmentFailed, InvalidInput, MlifecycleError, Problem

T = TypeVar("T")

# Runs the program with `python -m pipeline.catalog --state DIR` and these arguments, with files of
# this content by these names in its working folder; gives its exit code and standard output. It
# must really run each time: what the catalog says changes without its arguments changing.
Call = Callable[[Sequence[str], Mapping[str, str]], Awaitable[tuple[int, str]]]

_EVENT = "event.json"
_SERVING: TypeAdapter[Serving | None] = TypeAdapter(Serving | None)
_LISTING = TypeAdapter(list[Serving])
_EVENTS = TypeAdapter(list[Event])
_VERSIONS = TypeAdapter(list[Version])
_NOTHING: TypeAdapter[None] = TypeAdapter(None)


class Failure(BaseModel):
    """An error of the pipeline on its way from one process to another, with all its words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    message: str
    remedy: str = ""
    exit_code: int
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, error: MlifecycleError) -> Failure:
        """What is to be said of `error`."""
        return cls(
            kind=type(error).__name__,
            message=error.message if isinstance(error, EnvironmentFailed) else str(error),
            remedy=error.remedy if isinstance(error, EnvironmentFailed) else "",
            exit_code=error.exit_code,
            problems=error.problems if isinstance(error, InvalidInput) else (),
        )

    def error(self) -> MlifecycleError:
        """The error again."""
        if self.exit_code == InvalidInput.exit_code:
            return InvalidInput(self.problems)
        kind = Busy if self.kind == Busy.__name__ else EnvironmentFailed
        return kind(self.message, self.remedy)


class RemoteCatalog:
    """A `Catalog` behind `call`. Its methods are for worker threads of the loop that `call` needs.

    They raise EnvironmentFailed also when the program gives no answer, and InvalidInput when it
    refuses what it was told.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    def serving(self, name: str, namespace: str, environment: Environment) -> Serving | None:
        """What serves this model there, or None."""
        return self._ask(_SERVING, "serving", *_model(name, namespace), *_place(environment))

    def in_service(self, environment: Environment | None = None) -> list[Serving]:
        """All that serves, in one environment or in all, sorted by environment and name."""
        return self._ask(_LISTING, "in-service", *_place(environment))

    def register(self, event: Event) -> None:
        """Record an event. Telling it again changes nothing and completes what was cut short."""
        files = {_EVENT: event.model_dump_json()}
        self._ask(_NOTHING, "register", f"--event={_EVENT}", files=files)

    def history(
        self, name: str, namespace: str, environment: Environment | None = None
    ) -> list[Event]:
        """Every event of a model, newest first."""
        return self._ask(_EVENTS, "history", *_model(name, namespace), *_place(environment))

    def versions(self, name: str, namespace: str) -> list[Version]:
        """Every release of a model that was ever registered, newest first."""
        return self._ask(_VERSIONS, "versions", *_model(name, namespace))

    def _ask(
        self, form: TypeAdapter[T], *arguments: str, files: Mapping[str, str] | None = None
    ) -> T:
        async def ask() -> tuple[int, str]:
            return await self._call(arguments, files or {})

        exit_code, output = anyio.from_thread.run(ask)
        try:
            document = json.loads(output)
            if exit_code == 0:
                return form.validate_python(document["result"])
            failure = Failure.model_validate(document["error"])
        except (ValueError, KeyError, TypeError):
            # The output stays out of the words: nobody has looked whether it holds credentials.
            raise EnvironmentFailed(
                f"The catalog's program gave no answer (exit code {exit_code}).",
                "See that it is of this release of mlifecycle and had the memory that it needs.",
            ) from None
        raise failure.error()


def _model(name: str, namespace: str) -> tuple[str, str]:
    return f"--name={name}", f"--namespace={namespace}"


def _place(environment: Environment | None) -> tuple[str, ...]:
    return () if environment is None else (f"--environment={environment}",)
