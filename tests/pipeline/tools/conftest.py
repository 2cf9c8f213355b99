from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.findings import ToolReport
from pipeline.runtimes.interface import Outcome
from pipeline.tools.interface import Scanner

REPORTS = Path(__file__).parent / "reports"


@pytest.fixture
def outcome() -> Callable[[str, str], Outcome]:
    """What came of a tool's run when it was recorded."""

    def read(tool: str, case: str) -> Outcome:
        document = json.loads((REPORTS / tool / f"{case}.json").read_text())
        files = {name: text.encode() for name, text in document["files"].items()}
        return Outcome(
            document["exit_code"], document["stdout"], document["stderr"], files, seconds=1.5
        )

    return read


@pytest.fixture
def recorded(outcome: Callable[[str, str], Outcome]) -> Callable[[Scanner, str], ToolReport]:
    """What a scanner's parser makes of a recorded outcome."""

    def read(scanner: Scanner, case: str) -> ToolReport:
        version = json.loads((REPORTS / scanner.name / f"{case}.json").read_text())["version"]
        return scanner.parse(outcome(scanner.name, case), version)

    return read
