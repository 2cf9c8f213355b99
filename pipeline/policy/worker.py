"""One evaluation by rego-cpp, in a process of its own: a program, run by `regocpp`.

Standard input has the modules, data, input and query as JSON; standard output gets `{"value": …}`
or `{"failed": reason}`. Imports nothing of the pipeline, so that it starts fast.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

_MESSAGE = re.compile(r"\(errormsg \d+:([^\n]*?)\)")
_PLACE = re.compile(r"\(error \d+:([^|\n]+)\|(\d+)\|")


class Failed(Exception):
    """No decision; the message says why."""


class Policy:
    """Compiled modules and data, ready for any number of inputs.

    `data` is JSON; `query` is a `data.` path. Raises Failed when the modules do not compile.
    """

    def __init__(self, modules: Mapping[str, str], data: str, query: str) -> None:
        from regopy import Interpreter, LogLevel

        self._modules = modules
        self._query = query
        self._entrypoint = query.removeprefix("data.").replace(".", "/")
        self._rego = Interpreter()
        self._rego.log_level = LogLevel.NONE
        # A built-in that fails makes its expression undefined, and then a rule would not fire.
        self._rego.strict_built_in_errors = True
        with self._failures():
            for name, text in modules.items():
                self._rego.add_module(name, text)
            self._rego.add_data_json(data)
            self._compiled = self._rego.build(None, [self._entrypoint])

    def evaluate(self, document: str) -> Any:
        """The value of the query with `document`, which is JSON. Raises Failed without one."""
        with self._failures():
            # As a term: rego-cpp's own conversion of values loses escapes.
            self._rego.set_input_term(document)
            output = self._rego.query_bundle_entrypoint(self._compiled, self._entrypoint)
        if not output.ok():
            raise Failed(f"{self._query}: {_error_in(output)}")
        if not output.results or not output.results[0].expressions:
            raise Failed(f"{self._query} is undefined: no policy gives this decision")
        return output.results[0].expressions[0]

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        from regopy import RegoError

        try:
            yield
        except json.JSONDecodeError as error:
            # An error that regopy took for an answer.
            raise Failed(_reason(error.doc, self._modules)) from None
        except (RegoError, ValueError) as error:
            raise Failed(_reason(str(error), self._modules)) from None


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
    line = before.count(b"\n") + 1
    return f"{place[1]}:{line}: {reason}"


def main() -> None:
    """Answer the one request on standard input."""
    # What rego-cpp prints by itself must not get into the answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    result: dict[str, Any]
    try:
        policy = Policy(request["modules"], request["data"], request["query"])
        result = {"value": policy.evaluate(request["document"])}
    except Failed as failure:
        result = {"failed": str(failure)}
    with os.fdopen(answer, "w", encoding="utf-8") as stream:
        json.dump(result, stream)


if __name__ == "__main__":
    main()
