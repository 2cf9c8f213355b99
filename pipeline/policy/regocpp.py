"""Rego in process, by rego-cpp: a verdict in milliseconds, with nothing to install."""

from __future__ import annotations

import functools
import json
import re
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import anyio.to_thread

from pipeline.policy.bundle import Bundle
from pipeline.policy.interface import PolicyFailed

_MESSAGE = re.compile(r"\(errormsg \d+:([^\n]*?)\)")
_PLACE = re.compile(r"\(error \d+:([^|\n]+)\|(\d+)\|")


class RegoCpp:
    """Evaluates with regopy. `deadline` in seconds bounds one evaluation."""

    name = "rego-cpp"

    def __init__(self, deadline: float = 20.0) -> None:
        self.deadline = deadline

    async def evaluate(self, bundle: Bundle, query: str, document: Mapping[str, Any]) -> Any:
        """As the interface says. An evaluation past the deadline has failed, too."""
        answer: Future[Any] = Future()
        # A thread of its own, as a daemon: a policy that never ends must not keep the process.
        threading.Thread(
            target=_answer, args=(answer, bundle, query, document), daemon=True, name="rego-cpp"
        ).start()
        try:
            return await anyio.to_thread.run_sync(
                functools.partial(answer.result, self.deadline), abandon_on_cancel=True
            )
        except TimeoutError:
            raise PolicyFailed(
                f"{query} was not decided within {self.deadline:g} s: a policy runs away"
            ) from None


def _answer(answer: Future[Any], bundle: Bundle, query: str, document: Mapping[str, Any]) -> None:
    try:
        answer.set_result(_evaluate(bundle, query, document))
    except BaseException as error:
        answer.set_exception(error)


def _evaluate(bundle: Bundle, query: str, document: Mapping[str, Any]) -> Any:
    # Imported here: it loads a library of several megabytes.
    from regopy import Interpreter, LogLevel, RegoError

    rego = Interpreter()
    rego.log_level = LogLevel.NONE
    # A built-in that fails makes its expression undefined, and then a rule would not fire.
    rego.strict_built_in_errors = True
    for name, text in bundle.modules.items():
        try:
            rego.add_module(name, text)
        except RegoError as error:
            raise PolicyFailed(_reason(str(error), bundle.modules)) from None
    try:
        rego.add_data_json(_json(bundle.data))
        # As a term: rego-cpp's own conversion of values loses escapes.
        rego.set_input_term(_json(document))
        output = rego.query(query)
    except json.JSONDecodeError as error:
        # An error that regopy took for an answer.
        raise PolicyFailed(_reason(error.doc, bundle.modules)) from None
    except (RegoError, ValueError) as error:
        raise PolicyFailed(_reason(str(error), bundle.modules)) from None
    if not output.ok():
        raise PolicyFailed(f"{query}: {_error_in(output)}")
    if not output.results or not output.results[0].expressions:
        raise PolicyFailed(f"{query} is undefined: no policy gives this decision")
    return output.results[0].expressions[0]


def _json(value: Any) -> str:
    # Not escaped: rego-cpp makes two broken characters of an escaped pair.
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _error_in(output: Any) -> str:
    from regopy.rego_shared import rego_node_value

    error = output.node().at(0)
    return str(rego_node_value(error.at(0)._impl))


def _reason(text: str, modules: Mapping[str, str]) -> str:
    """rego-cpp's tree of an error as `file:line: message`."""
    message = _MESSAGE.search(text)
    place = _PLACE.search(text)
    reason = message[1] if message else (text.strip().splitlines() or ["no reason given"])[0]
    if place is None or place[1] not in modules:
        return reason
    before = modules[place[1]].encode()[: int(place[2])]
    return f"{place[1]}:{before.count(b'\n') + 1}: {reason}"
