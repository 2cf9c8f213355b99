"""What every stage is given besides its own typed inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.environment import Environment
from pipeline.policy.bundle import Bundle
from pipeline.policy.interface import Engine
from pipeline.runtimes.interface import Runtime
from pipeline.state import State


class Progress(Protocol):
    """Told what goes on during a stage, for whoever watches."""

    def step(self, message: str) -> None:
        """One line about the work now under way, in the present tense."""


@dataclass(frozen=True, slots=True)
class Context:
    """Where a stage works. `run_folder` takes the reports it leaves."""

    environment: Environment
    bundle: Bundle
    engine: Engine
    runtime: Runtime
    state: State
    run_folder: Path
    progress: Progress
