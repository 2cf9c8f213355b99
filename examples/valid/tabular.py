"""A small classifier for tables of non-negative numbers: what both examples train and export."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# One thread, set before the first import of torch: sums in a fixed order give the same model again.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from torch import nn


class Classifier(nn.Module):
    """Rows of raw features in, class probabilities out.

    Normalisation and softmax are part of the model, so that no service can forget them or do
    them differently from the training.
    """

    def __init__(self, mean: torch.Tensor, scale: torch.Tensor, hidden: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.layers = nn.Sequential(
            nn.Linear(len(mean), hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden // 2),
            nn.ReLU(),
            nn.Linear(hidden // 2, classes),
        )

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        # log1p: amounts, distances and areas have long tails
        return self.layers((torch.log1p(rows) - self.mean) / self.scale)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.logits(rows), dim=1)


def fit(
    rows: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    *,
    classes: int,
    seed: int,
    hidden: int = 32,
    epochs: int = 30,
    batch: int = 128,
    rate: float = 3e-3,
    decay: float = 1e-3,
) -> Classifier:
    """Train on raw `rows` (n x features) and integer `labels` (n). Same seed, same model."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    x = torch.tensor(rows, dtype=torch.float32)
    y = torch.tensor(labels, dtype=torch.int64)
    logs = torch.log1p(x)
    model = Classifier(logs.mean(dim=0), logs.std(dim=0).clamp_min(1e-6), hidden, classes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    steps = epochs * -(-len(x) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model.logits(x[chosen]), y[chosen]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def export(model: Classifier, path: Path) -> None:
    """Write the model as a `torch.export` archive that takes any number of rows at once."""
    example = torch.ones(4, len(model.mean))
    program = torch.export.export(
        model, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},)
    )
    # A server needs neither the example rows, which would be pickled, nor the names of our files.
    program.example_inputs = None
    for node in program.graph.nodes:
        for key in ("stack_trace", "nn_module_stack"):
            node.meta.pop(key, None)
    torch.export.save(program, path)


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def read_table(path: Path) -> dict[str, list[str]]:
    """The columns of a CSV file by name, as text."""
    with path.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}
