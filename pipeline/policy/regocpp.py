"""Rego by rego-cpp, from a wheel: a verdict in a fraction of a second, with nothing to install.

The library runs in a process of its own. It is native code that can crash (on two functions of one
name with different numbers of arguments, for one) and that nothing can stop once it runs: neither a
crash nor a policy without end may take the pipeline along, and both are a no.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio.to_thread

from pipeline.errors import EnvironmentFailed
from pipeline.policy.bundle import Bundle
from pipeline.policy.interface import PolicyFailed

_WORKER = Path(__file__).with_name("worker.py")


class RegoCpp:
    """Evaluates with regopy. `deadline` in seconds bounds one evaluation."""

    name = "rego-cpp"

    def __init__(self, deadline: float = 20.0) -> None:
        self.deadline = deadline

    async def version(self) -> str:
        """That of the wheel that brings the library."""
        return version("regopy")

    async def evaluate(self, bundle: Bundle, query: str, document: Mapping[str, Any]) -> Any:
        """As the interface says. Past the deadline, and after a crash, there is no decision."""
        try:
            document_json = _json(document)
            document_json.encode()  # what UTF-8 cannot hold, the engine cannot take
        except ValueError as error:
            raise PolicyFailed(f"the input is no JSON: {error}") from None
        request = {
            "modules": dict(bundle.modules),
            "data": _json(bundle.data),
            "document": document_json,
            "query": query,
        }
        run = functools.partial(_run, json.dumps(request).encode(), query, self.deadline)
        return await anyio.to_thread.run_sync(run, abandon_on_cancel=True)


def _json(value: Any) -> str:
    # Not escaped: rego-cpp makes two broken characters of an escaped pair.
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _run(request: bytes, query: str, deadline: float) -> Any:
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(_WORKER)],
            input=request,
            # A policy can read its environment (`opa.runtime()`), and what it says is recorded.
            env={},
            capture_output=True,
            timeout=deadline,
        )
    except subprocess.TimeoutExpired:
        raise PolicyFailed(
            f"{query} was not decided within {deadline:g} s: a policy runs away"
        ) from None
    if done.returncode < 0:
        raise PolicyFailed(f"{query} made rego-cpp crash (signal {-done.returncode})")
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[
            -1
        ]
        raise EnvironmentFailed(
            f"The policy engine does not run: {last}", "Install the pipeline again (make setup)."
        ) from None
    if "failed" in answer:
        raise PolicyFailed(answer["failed"])
    return answer["value"]
