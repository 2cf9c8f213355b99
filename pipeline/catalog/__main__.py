"""The catalog as a program, for a pipeline that runs where MLflow is not: `remote.py` asks it.

Standard output gets one JSON document, `{"result": …}` or `{"error": …}`; the exit code is 0 or
the error's. Whatever goes wrong is said in words, without credentials.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from pipeline.catalog import address
from pipeline.catalog.interface import Event
from pipeline.catalog.registry import MlflowCatalog
from pipeline.catalog.remote import Failure
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed, InvalidInput, MlifecycleError, Problem
from pipeline.state import State


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors of ours."""

    def error(self, message: str) -> NoReturn:
        raise InvalidInput([Problem("command line", "", "", message, "See --help.")])


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m pipeline.catalog", description=main.__doc__)
    parser.add_argument("--state", type=Path, required=True, metavar="DIR")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in ("serving", "history", "versions", "in-service"):
        asked = verbs.add_parser(verb)
        if verb != "in-service":
            asked.add_argument("--name", required=True)
            asked.add_argument("--namespace", required=True)
        if verb != "versions":
            asked.add_argument("--environment", type=Environment, required=verb == "serving")
    verbs.add_parser("register").add_argument("--event", type=Path, required=True, metavar="FILE")
    return parser


def run(arguments: Sequence[str]) -> tuple[int, str]:
    """Do what one command line says: the exit code and the document to print."""
    try:
        told = _parser().parse_args(arguments)
        # What a library prints must not get into the answer.
        with contextlib.redirect_stdout(sys.stderr):
            return 0, json.dumps({"result": to_jsonable_python(_answer(told))}, allow_nan=False)
    except Exception as error:
        failure = Failure.of(_in_words(error))
        mask = address.Address(os.environ.get(address.VARIABLE, "")).masked
        return failure.exit_code, json.dumps({"error": _masked(to_jsonable_python(failure), mask)})


def _answer(told: argparse.Namespace) -> Any:
    catalog = MlflowCatalog(State(told.state))
    match told.verb:
        case "serving":
            return catalog.serving(told.name, told.namespace, told.environment)
        case "history":
            return catalog.history(told.name, told.namespace, told.environment)
        case "versions":
            return catalog.versions(told.name, told.namespace)
        case "in-service":
            return catalog.in_service(told.environment)
        case _:
            return catalog.register(_event(told.event))


def _event(file: Path) -> Event:
    """The event in a file. Raises InvalidInput for what is none."""
    try:
        return Event.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise InvalidInput(
            [
                Problem(str(file), ".".join(map(str, e["loc"])), "", "an event", f"{e['msg']}.")
                for e in error.errors(include_url=False, include_input=False)
            ]
        ) from None
    except OSError as error:
        problem = Problem(str(file), "", "", "a file with an event", f"{error.strerror}.")
        raise InvalidInput([problem]) from None


def _in_words(error: Exception) -> MlifecycleError:
    """The error that is told. What nobody foresaw is the environment's or ours."""
    if isinstance(error, MlifecycleError):
        return error
    if isinstance(error, OSError):
        return EnvironmentFailed(
            f"{error}.", "See that the disk has room and that this user may write there."
        )
    return EnvironmentFailed(
        f"The catalog's program failed by a mistake of its own: {type(error).__name__}: {error}.",
        "Report it.",
    )


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    """A JSON value with every text in it masked."""
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [_masked(item, mask) for item in value]
    if isinstance(value, dict):
        return {key: _masked(item, mask) for key, item in value.items()}
    return value


def main() -> None:
    """Ask the catalog one question, or tell it one event."""
    # An interrupt ends it as a kill would, which the catalog stands, and without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    exit_code, document = run(sys.argv[1:])
    print(document)
    sys.exit(exit_code)


if __name__ == "__main__":
    main()
