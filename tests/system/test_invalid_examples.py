"""Each invalid example is refused as its name says, by the command that stands in its head."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from workplace import REPOSITORY, Workplace

from pipeline.catalog.interface import Event, Kind
from pipeline.catalog.registry import MlflowCatalog
from pipeline.environment import Environment
from pipeline.state import State

INVALID = REPOSITORY / "examples" / "invalid"
MALFORMED = sorted(path.stem for path in INVALID.glob("schema-*.yaml"))
DENIED = sorted({path.stem for path in INVALID.glob("*.yaml")} - set(MALFORMED))


@pytest.mark.parametrize("example", DENIED)
def test_each_invalid_example_is_denied_by_its_name(workplace: Workplace, example: str) -> None:
    """By the command that stands in its head; one by numbers, where something better serves."""
    path = INVALID / f"{example}.yaml"
    (command,) = re.findall(r"^#   mlifecycle (.+)$", path.read_text(), re.MULTILINE)
    if example.startswith("MG-REG"):
        _something_better_serves(workplace)
    done = workplace.run(*command.replace(f"examples/invalid/{path.name}", str(path)).split())
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert done.returncode == 1, said
    assert f"deny {example}" in done.stdout, said


@pytest.mark.parametrize("example", MALFORMED)
def test_each_malformed_example_is_invalid_by_its_name(workplace: Workplace, example: str) -> None:
    done = workplace.run("govern", "--manifest", str(INVALID / f"{example}.yaml"))
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert done.returncode == 2, said
    assert f"{example}.yaml" in done.stderr


def _something_better_serves(workplace: Workplace) -> None:
    digest = "sha256:" + "0" * 64
    MlflowCatalog(State(workplace.state)).register(
        Event(
            kind=Kind.DEPLOY,
            at=datetime.now(UTC),
            name="fraud-detector",
            namespace="payments-risk",
            version="1.1.0",
            environment=Environment.LOCAL,
            release=digest,
            metrics={"accuracy": 0.96, "f1_score": 0.92},
            run="better",
            verdict=digest,
        )
    )
