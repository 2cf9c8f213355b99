"""The model: verified, made safe, loaded, asked."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import Any

import torch

from serving import archive
from serving.errors import TamperedModel, UnfitModel
from serving.settings import Settings


class Model:
    """A loaded model: rows of features in, a probability per class out."""

    def __init__(self, module: torch.nn.Module, features: int, classes: int) -> None:
        # the module's __call__ adds input checks that ours have made already
        self._forward = module.forward
        self._features = features
        self._classes = classes

    def predict(self, rows: Sequence[Sequence[float]]) -> list[list[float]]:
        """Probabilities (n x classes) for `rows` (n x features); raises UnfitModel."""
        try:
            with torch.inference_mode():
                answer: Any = self._forward(torch.tensor(rows, dtype=torch.float32))
        except Exception as error:  # an operator may raise anything on values it does not take
            raise UnfitModel(f"the model fails on valid rows: {_first_line(error)}") from error
        if tuple(answer.shape) != (len(rows), self._classes):
            raise UnfitModel(
                f"the model answers {len(rows)} rows with the shape {tuple(answer.shape)} instead "
                f"of {(len(rows), self._classes)}"
            )
        if not bool(torch.isfinite(answer).all()):
            raise UnfitModel("the model answers with numbers that are not finite")
        probabilities: list[list[float]] = answer.tolist()
        return probabilities


def load(settings: Settings) -> Model:
    """Load the release's model; raises TamperedModel, UnsafeArchive or UnfitModel.

    The file is read once: the bytes whose digest was compared are the bytes that are checked and
    loaded, whatever happens to the file meanwhile.
    """
    try:
        data = settings.file.read_bytes()
    except OSError as error:
        raise TamperedModel(f"the model file cannot be read: {error.strerror}") from error
    found = "sha256:" + hashlib.sha256(data).hexdigest()
    if found != settings.digest:
        raise TamperedModel(f"the model file is {found}, and the release names {settings.digest}")
    safe = archive.rebuild(data)
    # One thread: a process counts the host's cores, whatever its share of them is, and rows as
    # small as these lose more by handing out work than they win.
    torch.set_num_threads(1)
    try:
        module = torch.export.load(io.BytesIO(safe)).module()
    except Exception as error:  # whatever torch raises on a program that it cannot build
        raise UnfitModel(f"torch cannot load the model: {_first_line(error)}") from error
    return Model(module, len(settings.inputs), len(settings.classes))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
