"""Who watches a run. Stages say what they do; an observer shows it, or does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pipeline.record import StageReport


class Observer(Protocol):
    """Told of a run as it goes. Stages may overlap, so every call names its stage."""

    def started(self, stage: str) -> None:
        """A stage begins."""

    def step(self, stage: str, message: str) -> None:
        """One line about the work now under way, in the present tense."""

    def finished(self, report: StageReport) -> None:
        """A stage ended with this report."""


class Progress(Protocol):
    """Told what goes on during a stage, for whoever watches."""

    def step(self, message: str) -> None:
        """One line about the work now under way, in the present tense."""


@dataclass(frozen=True, slots=True)
class StageProgress:
    """The view of an Observer that one stage is given."""

    observer: Observer
    stage: str

    def step(self, message: str) -> None:
        self.observer.step(self.stage, message)


class Silent:
    """Shows nothing."""

    def started(self, stage: str) -> None:
        """Ignore it."""

    def step(self, stage: str, message: str) -> None:
        """Ignore it."""

    def finished(self, report: StageReport) -> None:
        """Ignore it."""
