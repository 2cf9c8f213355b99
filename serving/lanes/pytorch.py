"""The torch lane: the exported program, made safe, run by torch."""

from __future__ import annotations

from typing import Any

import torch

from serving import archive
from serving.errors import UnfitModel
from serving.lanes import graph
from serving.lanes.interface import Rows, first_line


class TorchLane:
    """A program of `torch.export`."""

    name = "torch"

    def __init__(self, module: torch.nn.Module) -> None:
        # the module's __call__ adds checks of the input that ours have made already
        self._forward: Any = module.forward

    def predict(self, rows: Rows) -> Rows:
        """Probabilities (n x classes) for `rows` (n x features)."""
        with torch.inference_mode():
            answer: Rows = self._forward(torch.from_numpy(rows)).numpy()
        return answer


def load(data: bytes, threads: int) -> TorchLane:
    """Load the model file's content, to be run on `threads`; raises UnsafeArchive or UnfitModel."""
    parts = archive.read(data)
    torch.set_num_threads(threads)
    try:
        module = graph.build(parts)
    except Exception as error:  # whatever torch raises on a program that it cannot build
        raise UnfitModel(f"torch cannot load the model: {first_line(error)}") from error
    return TorchLane(module)
