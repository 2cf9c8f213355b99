"""A run under way: what it works on, where its stages work, and where their reports go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline import runs
from pipeline.catalog.interface import Catalog
from pipeline.environment import Environment
from pipeline.manifest import Manifest
from pipeline.places.interface import Place
from pipeline.policy.bundle import Bundle
from pipeline.progress import Observer, StageProgress
from pipeline.record import Outcome, RunRecord, StageReport
from pipeline.stages.interface import Context
from pipeline.state import State


class Stopped(Exception):
    """A stage ended the run. Its report is already in the record."""


@dataclass(frozen=True, slots=True)
class Line:
    """One manifest on its way through the stages.

    `wait` is how many seconds another command on the same model may take first.
    """

    environment: Environment
    manifest: Manifest
    bundle: Bundle
    state: State
    place: Place
    catalog: Catalog
    run: runs.Run
    observer: Observer
    wait: float

    @property
    def record(self) -> RunRecord:
        """What the run has come to so far."""
        return self.run.record

    @property
    def folder(self) -> Path:
        """Where the run's reports go."""
        return self.run.folder

    def open(self, stage: str) -> Context:
        """Announce `stage` and give it its place to work."""
        self.observer.started(stage)
        return Context(
            environment=self.environment,
            bundle=self.bundle,
            engine=self.place.engine,
            runtime=self.place.runtime,
            builder=self.place.builder(self.state),
            state=self.state,
            run_folder=self.folder,
            progress=StageProgress(self.observer, stage),
        )

    def keep(self, report: StageReport) -> bool:
        """Put a stage's report into the record. True when the run may go on."""
        self.run.add(report)
        self.observer.finished(report)
        return report.outcome is Outcome.PASSED

    def require(self, report: StageReport) -> None:
        """`keep`, and end the run here when the report says no."""
        if not self.keep(report):
            raise Stopped
