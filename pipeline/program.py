"""What a lane of the server runs: the model file itself, or what it was converted to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Lane(StrEnum):
    """What computes in a server."""

    TORCH = "torch"
    ONNX = "onnx"


# Where each lane's file lies in a release.
FILES = {Lane.TORCH: "model/model.pt2", Lane.ONNX: "model/model.onnx"}


TRANSFORM = "model/transform.py"


@dataclass(frozen=True, slots=True)
class Transform:
    """A model's own code around it, as it lies in the content store."""

    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Program:
    """The file that the server loads. `model_digest` is that of the model file it comes from.

    `chosen` says in one line why it is this lane's. `transform` is the model's own code around it.
    """

    lane: Lane
    path: Path
    digest: str
    model_digest: str
    chosen: str
    transform: Transform | None = None

    @property
    def file(self) -> str:
        """Where it lies in a release."""
        return FILES[self.lane]

    @property
    def files(self) -> dict[str, Path]:
        """All that comes with the model, by its place in a release."""
        own = {} if self.transform is None else {TRANSFORM: self.transform.path}
        return {self.file: self.path, **own}

    @property
    def transform_digest(self) -> str:
        """That of the model's own code; empty without any."""
        return "" if self.transform is None else self.transform.digest
