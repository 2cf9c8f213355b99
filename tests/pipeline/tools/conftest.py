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
def recorded() -> Callable[[Scanner, str], ToolReport]:
    """What a scanner's parser makes of a recorded outcome."""

    def read(scanner: Scanner, case: str) -> ToolReport:
        document = json.loads((REPORTS / scanner.name / f"{case}.json").read_text())
        files = {name: text.encode() for name, text in document["files"].items()}
        outcome = Outcome(
            document["exit_code"], document["stdout"], document["stderr"], files, seconds=1.5
        )
        return scanner.parse(outcome, document["version"])

    return read
