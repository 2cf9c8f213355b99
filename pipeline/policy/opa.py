"""Rego by OPA itself, as a program in whatever runtime there is."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from pipeline.errors import EnvironmentFailed
from pipeline.policy.bundle import Bundle
from pipeline.policy.interface import PolicyFailed
from pipeline.runtimes.interface import Invocation, Outcome, Runtime, ToolNotFound


class Opa:
    """Evaluates with `opa eval`. `deadline` in seconds bounds one evaluation."""

    name = "opa"

    def __init__(self, runtime: Runtime, deadline: float = 60.0) -> None:
        self.runtime = runtime
        self.deadline = deadline

    async def version(self) -> str:
        """As the runtime knows it. Raises EnvironmentFailed when there is no opa."""
        found = await self.runtime.version("opa")
        if found is None:
            # To call it is to hear why: it is not installed, or its image is out of reach.
            call = Invocation(tool="opa", command="opa", arguments=("version",), timeout=60)
            try:
                await self.runtime.run(call)
            except ToolNotFound as error:
                raise EnvironmentFailed(str(error)) from None
            raise EnvironmentFailed("The opa that is here tells no version.", "Install another.")
        return found

    async def evaluate(self, bundle: Bundle, query: str, document: Mapping[str, Any]) -> Any:
        """As the interface says. Raises EnvironmentFailed when there is no opa."""
        with tempfile.TemporaryDirectory(prefix="mlifecycle-opa-") as folder:
            await anyio.to_thread.run_sync(_write, Path(folder), bundle, document)
            invocation = Invocation(
                tool="opa",
                command="opa",
                arguments=(
                    "eval",
                    "--format=json",
                    # As in process: a built-in that fails must not pass for a rule unmet.
                    "--strict-builtin-errors",
                    "--data=bundle",
                    "--input=input.json",
                    query,
                ),
                inputs={"bundle": Path(folder, "bundle"), "input.json": Path(folder, "input.json")},
                timeout=self.deadline,
            )
            try:
                outcome = await self.runtime.run(invocation)
            except ToolNotFound as error:
                raise EnvironmentFailed(str(error)) from None
        return _value(outcome, query)


async def complaint(runtime: Runtime, bundle: Bundle) -> str:
    """What `opa check` says against the bundle's modules; empty when it says nothing.

    rego-cpp takes a variable that nothing binds (a misspelt `input`, say) for undefined, and the
    rule never fires; OPA refuses it. Raises ToolNotFound where there is no opa.
    """
    with tempfile.TemporaryDirectory(prefix="mlifecycle-opa-") as folder:
        await anyio.to_thread.run_sync(_write, Path(folder), bundle, {})
        invocation = Invocation(
            tool="opa",
            command="opa",
            arguments=("check", "bundle"),
            inputs={"bundle": Path(folder, "bundle")},
            timeout=60.0,
        )
        outcome = await runtime.run(invocation)
    if outcome.exit_code == 0 and not outcome.timed_out:
        return ""
    return outcome.stderr.strip() or outcome.stdout.strip() or "opa check did not end well"


def _write(folder: Path, bundle: Bundle, document: Mapping[str, Any]) -> None:
    for name, text in bundle.modules.items():
        path = folder / "bundle" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    try:
        content = json.dumps(document, allow_nan=False)
    except ValueError as error:
        raise PolicyFailed(f"the input is no JSON: {error}") from None
    (folder / "input.json").write_text(content, encoding="utf-8")
    (folder / "bundle").mkdir(exist_ok=True)
    (folder / "bundle" / "data.json").write_text(json.dumps(bundle.data), encoding="utf-8")


def _value(outcome: Outcome, query: str) -> Any:
    """The value in what `opa eval` printed."""
    if outcome.timed_out:
        raise PolicyFailed(f"{query} was not decided in time: a policy runs away")
    try:
        answer = json.loads(outcome.stdout)
        errors = [_said(error) for error in answer.get("errors", ())]
    except (ValueError, AttributeError):
        lines = (outcome.stderr or outcome.stdout).strip().splitlines() or ["nothing"]
        raise PolicyFailed(f"opa exited {outcome.exit_code} and said: {lines[0]}") from None
    if errors:
        raise PolicyFailed("; ".join(errors))
    try:
        return answer["result"][0]["expressions"][0]["value"]
    except (KeyError, IndexError, TypeError):
        raise PolicyFailed(f"{query} is undefined: no policy gives this decision") from None


def _said(error: Mapping[str, Any]) -> str:
    place = error.get("location") or {}
    file = str(place.get("file", "")).removeprefix("bundle/")
    message = error.get("message", "no message")
    return f"{file}:{place.get('row')}: {message}" if file else str(message)
