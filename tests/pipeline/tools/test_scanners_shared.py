"""What every scanner promises, whichever it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.findings import ToolStatus
from pipeline.runtimes.interface import Outcome
from pipeline.tools.interface import Scanner, failure
from pipeline.tools.registry import SCANNERS

REPORTS = Path(__file__).parent / "reports"
each = pytest.mark.parametrize("scanner", SCANNERS, ids=lambda scanner: scanner.name)
# What no wheel brings: a host has it or not.
PROGRAMS = {"gitleaks", "trivy", "grype", "dockle"}
GARBAGE = [
    "",
    "not json",
    "[]]",
    "{}",
    "null",
    '"text"',
    '[{"code": 1}]',
    '{"results": 7}',
    "{" * 99,
]


def not_run(scanner: Scanner, outcome: Outcome) -> str:
    report = scanner.parse(outcome, "1.0")
    assert report.status is ToolStatus.NOT_RUN
    assert not report.findings
    assert report.reason
    return report.reason


@each
@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_is_not_run(scanner: Scanner, text: str) -> None:
    files = dict.fromkeys(scanner.invocation({}).outputs, text.encode())
    not_run(scanner, Outcome(0, text, "", files))


@each
def test_a_timeout_is_not_run_even_with_a_good_report(scanner: Scanner) -> None:
    case = "clean" if scanner.network else "bad"
    good = json.loads((REPORTS / scanner.name / f"{case}.json").read_text())
    files = {name: text.encode() for name, text in good["files"].items()}
    outcome = Outcome(0, good["stdout"], good["stderr"], files, timed_out=True)
    assert "time limit" in not_run(scanner, outcome)


@each
@pytest.mark.parametrize("code", [137, -9, 126])
def test_a_crash_is_not_run_and_says_its_last_words(scanner: Scanner, code: int) -> None:
    trace = 'Traceback (most recent call last):\n  File "x.py"\nOSError: disk full\n'
    reason = not_run(scanner, Outcome(code, "", trace))
    assert f"exit code {code}: OSError: disk full" in reason


@each
def test_its_invocation_names_only_inputs_that_it_reads(scanner: Scanner, tmp_path: Path) -> None:
    call = scanner.invocation(dict.fromkeys(scanner.reads, tmp_path))
    assert set(call.inputs) == set(scanner.reads)
    assert call.command == scanner.command
    assert call.network is scanner.network
    assert not {"server", "submission", "Dockerfile"} & set(call.arguments) - set(scanner.reads)


@each
def test_the_pinned_requirements_provide_it(scanner: Scanner) -> None:
    if scanner.package is None:
        assert scanner.command in PROGRAMS
        return
    pins = Path(__file__).parents[3] / "requirements" / "scanners.txt"
    assert f"\n{scanner.package}==" in pins.read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[0000]  INFO fine\n[0001] ERROR \x1b[31mno database\x1b[0m\n", "no database"),
        ("2026\tINFO\tfine\n2026\t\x1b[31mFATAL\x1b[0m\tunexpected EOF\n", "unexpected EOF"),
        ("\x1b[90m7:54PM\x1b[0m \x1b[31mFTL\x1b[0m stat x: no such file\n", "stat x: no such file"),
        ("Warning: old\ncannot read\nbye\n", "cannot read"),
    ],
)
def test_a_failure_is_told_in_the_words_of_the_error(text: str, words: str) -> None:
    assert failure(Outcome(1, "", text)) == f"it failed with exit code 1: {words}"


def test_names_are_unique() -> None:
    assert len({scanner.name for scanner in SCANNERS}) == len(SCANNERS)
