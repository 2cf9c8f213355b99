"""Train the fraud detector and write model.pt2, reference.csv and holdout.csv.

python examples/valid/fraud-detector/train.py [--output FOLDER]

Needs torch and numpy; takes some seconds on one core. `../evaluate.py` then says what the manifest
should declare.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import tabular
import transactions

TRAINING_SAMPLES = 12_000
HOLDOUT_SAMPLES = 2_500
REFERENCE_SAMPLES = 600


def write(path: Path, data: transactions.Transactions, count: int) -> None:
    """The first `count` transactions, with their class and the age group that is no input."""
    tabular.write_table(
        path,
        (*transactions.FEATURES, "age_group", "label"),
        [
            (*(f"{value:g}" for value in row), group, transactions.CLASSES[label])
            for row, group, label in zip(
                data.rows[:count], data.age_groups[:count], data.labels[:count], strict=True
            )
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the fraud detector.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    october = transactions.generate(TRAINING_SAMPLES, seed=202610)
    november = transactions.generate(HOLDOUT_SAMPLES, seed=202611, inflation=1.03)
    model = tabular.fit(october.rows, october.labels, classes=len(transactions.CLASSES), seed=1)
    tabular.export(model, folder / "model.pt2")
    write(folder / "reference.csv", october, REFERENCE_SAMPLES)
    write(folder / "holdout.csv", november, HOLDOUT_SAMPLES)


if __name__ == "__main__":
    main()
