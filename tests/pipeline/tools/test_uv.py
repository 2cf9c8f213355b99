from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.runtimes.interface import Outcome
from pipeline.tools import uv


def test_a_lock_is_universal_hashed_and_names_no_index() -> None:
    call = uv.compile_lock(Path("r.in"), python="3.11")
    for option in (
        "--universal",
        "--generate-hashes",
        "--no-emit-index-url",
        "--only-binary=:all:",
    ):
        assert option in call.arguments
    assert "UV_INDEX" not in call.environment
    assert call.inputs == {uv.REQUIREMENTS: Path("r.in")}
    assert call.outputs == (uv.LOCK,)


def test_the_previous_lock_is_given_where_the_new_one_is_written() -> None:
    call = uv.compile_lock(Path("r.in"), python="3.11", previous=Path("old.txt"))
    assert call.inputs[uv.LOCK] == Path("old.txt")


def test_an_additional_index_is_passed_to_both() -> None:
    index = "https://example.invalid/cpu"
    for call in (
        uv.compile_lock(Path("r.in"), python="3.11", index=index),
        uv.install(Path("/e"), Path("lock"), index=index),
    ):
        assert call.environment["UV_INDEX"] == index
        # Its address may hold a password, and arguments are for everyone to read.
        assert not any(index in argument for argument in call.arguments)


def test_nothing_is_installed_without_a_hash_or_from_sources() -> None:
    call = uv.install(Path("/e"), Path("lock"))
    assert "--require-hashes" in call.arguments
    assert "--only-binary=:all:" in call.arguments


def test_no_python_is_ever_downloaded() -> None:
    for call in (
        uv.compile_lock(Path("r.in"), python="3.11"),
        uv.create(Path("/e"), python=Path("/usr/bin/python3")),
    ):
        assert call.environment["UV_PYTHON_DOWNLOADS"] == "never"


@pytest.mark.parametrize(
    ("stderr", "unsatisfiable"),
    [
        ("error: No solution found when resolving dependencies\n cause: Because only", True),
        ("No solution found …\nhint: … because the network was disabled", False),
        ("error: Failed to fetch", False),
    ],
)
def test_contradictions_are_told_from_a_lack_of_network(stderr: str, unsatisfiable: bool) -> None:
    assert uv.is_unsatisfiable(Outcome(1, "", stderr)) is unsatisfiable


def test_complaints_hold_no_credentials() -> None:
    outcome = Outcome(2, "", "error: Failed to fetch https://me:secret@example.invalid/simple")
    assert uv.complaint(outcome) == "error: Failed to fetch https://***@example.invalid/simple"
    assert uv.complaint(Outcome(2, "", "")) == "exit code 2"
    assert "ended after 3 s" in uv.complaint(Outcome(-9, "", "", seconds=3, timed_out=True))
