"""rego-cpp in its own process: the real engine, on policies that do every wrong thing."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import anyio
import pytest
from judging import BUNDLE, EXAMPLE

from pipeline import resources
from pipeline.errors import EnvironmentFailed
from pipeline.policy import judge, reference, regocpp
from pipeline.policy.bundle import GOVERNANCE, SUPPLY_CHAIN, Bundle
from pipeline.policy.interface import PolicyFailed
from pipeline.policy.regocpp import RegoCpp
from pipeline.verdict import Verdict

OURS = resources.folder("policies")
DOCUMENT = {"environment": "local", "manifest": EXAMPLE, "catalog": {"serving": None}}


def of(text: str, data: Any = None) -> Bundle:
    return Bundle({"dir/it.rego": text}, data or {}, {}, {}, "sha256:0")


def value(text: str, document: Any = None, query: str = "data.it.x", deadline: float = 60) -> Any:
    return anyio.run(RegoCpp(deadline).evaluate, of(text), query, document or {})


def failure(text: str, document: Any = None, deadline: float = 60) -> str:
    with pytest.raises(PolicyFailed) as caught:
        value(text, document, deadline=deadline)
    return str(caught.value)


def with_own(folder: Path, mode: str = "extend", **files: str) -> Verdict:
    for name, text in files.items():
        (folder / f"{name}.rego").write_text(text)
    bundle = Bundle.load(OURS, folder, mode)
    return anyio.run(judge, RegoCpp(), bundle, GOVERNANCE, DOCUMENT)


def test_its_version_is_that_of_the_wheel() -> None:
    assert anyio.run(RegoCpp().version) == metadata.version("regopy")


def test_the_valid_example_is_allowed() -> None:
    verdict = anyio.run(judge, RegoCpp(), BUNDLE, GOVERNANCE, DOCUMENT)
    assert verdict == Verdict(allowed=True, policy_digest=BUNDLE.digest, engine="rego-cpp")


def test_nothing_known_is_denied_by_rules_and_not_by_a_crash() -> None:
    for package in (GOVERNANCE, SUPPLY_CHAIN):
        verdict = anyio.run(judge, RegoCpp(), BUNDLE, package, {})
        assert not verdict.allowed
        assert "MG-ENG-001" not in {violation.id for violation in verdict.violations}


@pytest.mark.parametrize(
    "text",
    [
        "é",
        "😀",
        "a\nb",
        "\t",
        "\x01",
        '"',
        "\\",
        "\\n",
        'a"b\\c',
        "%v",
        "/",
        "\u2028",
        "\x00",
        "{}",
    ],
)
def test_text_goes_through_as_it_is(text: str) -> None:
    assert value("package it\nx := [input.v, {input.v: 1}]", {"v": text}) == [text, {text: 1}]


@pytest.mark.parametrize("number", [0, -1, 0.85, 1e-07, 2**53, 12000.0, -0.1, 1e22, 0.1 + 0.2])
def test_numbers_go_through_nearly_as_they_are(number: float) -> None:
    assert value("package it\nx := input.v", {"v": number}) == pytest.approx(number, rel=1e-14)


def test_sets_come_as_lists() -> None:
    assert value("package it\nx contains 1") == [1]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("package it\n\nx if { y == }", "dir/it.rego:3: "),
        ("packag it", "dir/it.rego:1: "),
        ("package it\nx := ", "dir/it.rego:2: "),
        ("", ""),
    ],
)
def test_a_module_that_does_not_compile_is_named_with_its_line(text: str, place: str) -> None:
    assert failure(text).startswith(place)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("package it\nx := nothing.such(1)", ""),
        ("package it\nx := y\ny := x", "Recursion"),
        ("package it\nx := 1\nx := 2", "multiple outputs"),
        ("package it\nx := lower(input.v)", "lower"),
        ('package it\nx contains 1 if startswith(input.v, "a")', "startswith"),
        ('package it\nx := http.send({"url": "x"})', "HTTP"),
        ("package it\nx := 1 / 0", "divide by zero"),
        ("package it\nx if false", "undefined"),
        ("package other\nx := 1", "undefined"),
    ],
)
def test_a_policy_that_fails_gives_no_value(text: str, reason: str) -> None:
    assert reason in failure(text, {"v": 7})


def test_input_that_is_no_json_gives_no_value() -> None:
    for wrong in (float("nan"), float("inf"), "\ud800"):
        assert "no JSON" in failure("package it\nx := 1", {"v": wrong})


def test_a_policy_without_end_is_ended() -> None:
    ranges = "; ".join(f"some {name} in numbers.range(1, 3000)" for name in "abc")
    endless = f"package it\nx := count([1 | {ranges}; a + b == c])"
    assert "runs away" in failure(endless, deadline=2)


def test_a_crash_of_the_engine_is_a_no(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(regocpp, "_WORKER", worker)
    verdict = anyio.run(judge, RegoCpp(), BUNDLE, GOVERNANCE, DOCUMENT)
    assert not verdict.allowed
    assert "crash (signal 11)" in str(verdict.violations[0].actual)


def test_an_engine_that_is_not_installed_is_the_machines_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("raise ModuleNotFoundError('No module named regopy')\n")
    monkeypatch.setattr(regocpp, "_WORKER", worker)
    with pytest.raises(EnvironmentFailed, match="regopy"):
        value("package it\nx := 1")


def test_what_the_engine_prints_is_no_answer(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    verdict = with_own(tmp_path, names="package mlifecycle.extensions.governance.names\nx := ")
    assert [v.id for v in verdict.violations] == ["MG-ENG-001"]
    assert "extensions/names.rego:2" in str(verdict.violations[0].actual)
    assert capfd.readouterr().out == ""


def test_an_extension_that_does_not_compile_denies_the_supply_chain_too(tmp_path: Path) -> None:
    (tmp_path / "x.rego").write_text("package mlifecycle.extensions.governance.x\nviolations := ")
    bundle = Bundle.load(OURS, tmp_path)
    lock = {"environment": "local", "subject": "lock", "locked": True}
    verdict = anyio.run(judge, RegoCpp(), bundle, SUPPLY_CHAIN, lock)
    assert not verdict.allowed


def test_an_extension_without_violations_denies(tmp_path: Path) -> None:
    verdict = with_own(tmp_path, x="package mlifecycle.extensions.governance.x\ny := 1")
    assert [v.id for v in verdict.violations] == ["MG-ENG-001"]


def test_the_extension_in_the_documentation_works(tmp_path: Path) -> None:
    page = reference.page(BUNDLE)
    (example,) = re.findall(r"```rego\n(.*?)```", page, re.DOTALL)
    verdict = with_own(tmp_path, names=example)
    (violation,) = verdict.violations
    assert (violation.id, violation.actual) == ("BANK-NAME-001", "fraud-detector")
    assert violation.title == "Models are named after their team"


def test_data_of_an_extension_changes_what_is_enough(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "local.yaml").write_text("metrics: {accuracy: {minimum: 0.99}}\n")
    (violation,) = with_own(tmp_path).violations
    assert (violation.id, violation.expected) == ("MG-ACC-001", "a number from 0.99 to 1")


def test_a_replacement_decides_alone(tmp_path: Path) -> None:
    text = 'package mlifecycle.governance\ndecision := {"allow": true, "violations": []}'
    assert with_own(tmp_path, "replace", all=text).allowed


@pytest.mark.parametrize(
    "text",
    [
        "package mlifecycle.governance\nallow := true",
        "package mlifecycle.governance\ndecision := true",
        'package mlifecycle.governance\ndecision := {"allow": true}',
        'package mlifecycle.governance\ndecision := {"allow": true, "violations": []} if false',
        "package other",
    ],
)
def test_a_replacement_without_a_decision_denies(tmp_path: Path, text: str) -> None:
    verdict = with_own(tmp_path, "replace", all=text)
    assert not verdict.allowed
    assert [v.id for v in verdict.violations] == ["MG-ENG-001"]


def test_an_empty_replacement_denies(tmp_path: Path) -> None:
    assert not with_own(tmp_path, "replace").allowed


def test_a_loop_goes_on_while_policies_are_evaluated() -> None:
    async def both() -> list[str]:
        order: list[str] = []

        async def judged() -> None:
            await RegoCpp().evaluate(of("package it\nx := 1"), "data.it.x", {})
            order.append("judged")

        async with anyio.create_task_group() as group:
            group.start_soon(judged)
            await anyio.lowlevel.checkpoint()
            order.append("went on")
        return order

    assert anyio.run(both) == ["went on", "judged"]


def test_the_worker_imports_nothing_of_the_pipeline() -> None:
    code = (
        "import runpy, sys; sys.argv = ['x']\n"
        f"runpy.run_path({str(regocpp._WORKER)!r}, run_name='worker')\n"
        "print([m for m in sys.modules if m.startswith(('pipeline', 'pydantic'))])"
    )
    done = functools.partial(subprocess.run, capture_output=True, text=True, check=True)
    assert done([sys.executable, "-P", "-c", code]).stdout.strip() == "[]"
