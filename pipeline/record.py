"""What a run leaves behind for people and for machines: a report a stage, a record a run."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from pipeline.environment import Environment
from pipeline.findings import ToolReport
from pipeline.verdict import Violation


class Outcome(StrEnum):
    """How a stage or a run ended. `denied` is the pipeline's no; `failed` is a broken tool."""

    PASSED = "passed"
    DENIED = "denied"
    FAILED = "failed"


class StageReport(BaseModel):
    """One stage: digests in, digests out, and why it said no if it did.

    `artifacts` maps a report's name to its path relative to the run's folder. `reused` is set when
    the result was found by the digest of its inputs instead of being computed again. `decided` maps
    what the stage decided to the choice and what it was decided by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    outcome: Outcome
    summary: str
    inputs: dict[str, str] = Field(default_factory=dict)
    outputs: dict[str, str] = Field(default_factory=dict)
    decided: dict[str, str] = Field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    tools: tuple[ToolReport, ...] = ()
    artifacts: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0
    reused: bool = False


class RunRecord(BaseModel):
    """Everything that one run did: `runs/<id>/record.json`.

    `outcome` is None while the run goes on: a record that still says so after its process is gone
    tells of a run that was interrupted. `policies` is the user's own folder, if there was one, and
    `again` the command that does the run again, where it is not `mlifecycle` with the same words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    id: str
    command: str
    manifest: str
    manifest_digest: str | None = None
    model: str | None = None
    version: str | None = None
    environment: Environment
    runtime: str
    policies: str | None = None
    policies_mode: str | None = None
    again: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    started: datetime
    finished: datetime | None = None
    pid: int
    outcome: Outcome | None = None
    stages: tuple[StageReport, ...] = ()
    release: str | None = None
    error: str | None = None

    @property
    def violations(self) -> tuple[Violation, ...]:
        return tuple(v for stage in self.stages for v in stage.violations)
