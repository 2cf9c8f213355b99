"""The opa program as an Invocation, and what it prints read back.

opa/*.json is what opa 1.22.2 prints for the queries that the files are named after:

    opa eval --format=json --strict-builtin-errors --data=bundle --input=input.json data.it.x

where bundle/it.rego is `package it` and, in this order, `x := [1, "é"]`, `x := lower(input.v)`,
`x :=`, `x if false`, and input.json is `{"v": 7}`. tests/system runs the program itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from pipeline.errors import EnvironmentFailed
from pipeline.policy.bundle import Bundle
from pipeline.policy.interface import PolicyFailed
from pipeline.policy.opa import Opa
from pipeline.runtimes.interface import Invocation, Outcome, ToolNotFound

BUNDLE = Bundle({"dir/it.rego": "package it\nx := 1"}, {"a": {"b": 1}}, {}, {}, "sha256:0")
PRINTED = {path.stem: path.read_text() for path in (Path(__file__).parent / "opa").glob("*.json")}


@dataclass
class Recorded:
    """A runtime that hands back one recorded outcome and looks at what it was given."""

    outcome: Outcome
    name: str = "recorded"
    invocations: list[Invocation] = field(default_factory=list)
    files: dict[str, Any] = field(default_factory=dict)

    async def run(self, invocation: Invocation) -> Outcome:
        self.invocations.append(invocation)
        bundle = invocation.inputs["bundle"]
        self.files = {
            "module": (bundle / "dir" / "it.rego").read_text(),
            "data": json.loads((bundle / "data.json").read_text()),
            "input": json.loads(invocation.inputs["input.json"].read_text()),
        }
        return self.outcome

    async def version(self, tool: str) -> str | None:
        return None


def evaluated(stdout: str, document: Any = None, **outcome: Any) -> tuple[Any, Recorded]:
    runtime = Recorded(Outcome(exit_code=0, stdout=stdout, stderr="", **outcome))
    return anyio.run(Opa(runtime).evaluate, BUNDLE, "data.it.x", document or {}), runtime


def test_opa_is_given_modules_data_and_input_and_no_network() -> None:
    value, runtime = evaluated(PRINTED["value"], {"v": "é"})
    assert value == [1, "é"]
    assert runtime.files == {
        "module": "package it\nx := 1",
        "data": {"a": {"b": 1}},
        "input": {"v": "é"},
    }
    (invocation,) = runtime.invocations
    assert invocation.command == "opa"
    assert invocation.arguments[-1] == "data.it.x"
    assert "--strict-builtin-errors" in invocation.arguments
    assert not invocation.network
    assert not invocation.inputs["bundle"].exists()


@pytest.mark.parametrize(
    ("stdout", "reason"),
    [
        (PRINTED["builtin"], "it.rego:2: lower: operand 1 must be string but got number"),
        (PRINTED["syntax"], "it.rego:2: unexpected eof token"),
        (PRINTED["undefined"], "undefined"),
        ('{"result":[]}', "undefined"),
        ("", "opa exited 0"),
        ("not json", "not json"),
        ("[]", "opa exited 0"),
        ('{"errors": [7]}', "opa exited 0"),
    ],
)
def test_what_is_no_value_is_a_failure(stdout: str, reason: str) -> None:
    with pytest.raises(PolicyFailed) as caught:
        evaluated(stdout)
    assert reason in str(caught.value)


def test_a_policy_without_end_is_a_failure() -> None:
    with pytest.raises(PolicyFailed, match="runs away"):
        evaluated("", timed_out=True)


def test_input_that_is_no_json_is_a_failure() -> None:
    with pytest.raises(PolicyFailed, match="no JSON"):
        evaluated(PRINTED["value"], {"v": float("nan")})


def test_its_version_is_that_of_the_program() -> None:
    class Known(Recorded):
        async def version(self, tool: str) -> str | None:
            return {"opa": "1.22.2"}.get(tool)

    assert anyio.run(Opa(Known(Outcome(0, "", ""))).version) == "1.22.2"


def test_a_machine_without_opa_has_failed() -> None:
    class Empty(Recorded):
        async def run(self, invocation: Invocation) -> Outcome:
            raise ToolNotFound("opa", "Install it.")

    runtime = Empty(Outcome(0, "", ""))
    with pytest.raises(EnvironmentFailed, match="Install it"):
        anyio.run(Opa(runtime).version)
    with pytest.raises(EnvironmentFailed, match="Install it"):
        anyio.run(Opa(runtime).evaluate, BUNDLE, "data.it.x", {})
