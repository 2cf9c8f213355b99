"""What every stage is given besides its own typed inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.environment import Environment
from pipeline.places.interface import Builder
from pipeline.policy.bundle import Bundle
from pipeline.policy.interface import Engine
from pipeline.progress import Progress
from pipeline.runtimes.interface import Runtime
from pipeline.state import State


@dataclass(frozen=True, slots=True)
class Context:
    """Where a stage works. `run_folder` takes the reports it leaves."""

    environment: Environment
    bundle: Bundle
    engine: Engine
    runtime: Runtime
    builder: Builder
    state: State
    run_folder: Path
    progress: Progress
