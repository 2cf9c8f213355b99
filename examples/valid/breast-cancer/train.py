"""Train on the Wisconsin breast cancer data and write model.pt2, reference.csv and holdout.csv.

python examples/valid/breast-cancer/train.py [--output FOLDER]

The data set (569 tumours, 30 measurements) ships inside scikit-learn: nothing is downloaded.
The model sees the ten mean measurements. Needs torch, numpy and scikit-learn.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import tabular
from sklearn import datasets

CLASSES = ("benign", "malignant")
FEATURES = (
    "mean radius",
    "mean texture",
    "mean perimeter",
    "mean area",
    "mean smoothness",
    "mean compactness",
    "mean concavity",
    "mean concave points",
    "mean symmetry",
    "mean fractal dimension",
)
# No input: the groups that are compared for fairness are the halves below and above its median.
GROUPED_BY = "smoothness error"
TRAINING_SAMPLES = 369

Array = np.ndarray[Any, Any]


def write(path: Path, rows: Array, groups: Array, labels: Array) -> None:
    names = [name.replace(" ", "_") for name in FEATURES]
    tabular.write_table(
        path,
        (*names, "smoothness_error_half", "label"),
        [
            (*(f"{value:g}" for value in row), group, CLASSES[label])
            for row, group, label in zip(rows, groups, labels, strict=True)
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the breast cancer classifier.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)

    data = datasets.load_breast_cancer()
    column = {str(name): index for index, name in enumerate(data.feature_names)}
    rows = data.data[:, [column[name] for name in FEATURES]]
    labels = 1 - data.target  # scikit-learn counts malignant as 0
    spread = data.data[:, column[GROUPED_BY]]
    groups = np.where(spread > np.median(spread), "upper", "lower")

    order = np.random.default_rng(0).permutation(len(rows))
    train, held = order[:TRAINING_SAMPLES], order[TRAINING_SAMPLES:]
    model = tabular.fit(
        rows[train], labels[train], classes=2, seed=1, hidden=16, epochs=60, batch=32, decay=1e-2
    )
    tabular.export(model, folder / "model.pt2")
    write(folder / "reference.csv", rows[train], groups[train], labels[train])
    write(folder / "holdout.csv", rows[held], groups[held], labels[held])


if __name__ == "__main__":
    main()
