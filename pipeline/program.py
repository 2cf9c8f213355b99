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


@dataclass(frozen=True, slots=True)
class Program:
    """The file that the server loads. `model_digest` is that of the model file it comes from.

    `chosen` says in one line why it is this lane's.
    """

    lane: Lane
    path: Path
    digest: str
    model_digest: str
    chosen: str

    @property
    def file(self) -> str:
        """Where it lies in a release."""
        return FILES[self.lane]
