"""Recompute every number that a manifest declares, from the model file and its held-out rows.

python examples/valid/evaluate.py examples/valid/model-manifest.yaml

Prints the manifest's sections as they should read, and exits 1 when the manifest says otherwise.
Held-out rows lie in `holdout.csv` beside the reference data set, with the features, the protected
attributes and the true class in the column `label`. Needs torch, numpy, scikit-learn and pyyaml.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tabular
import torch
import yaml
from sklearn import metrics

ROUNDS = 5  # shuffles per feature for its importance
TOLERANCE = 0.0006  # rounding to four digits, and one row on the edge decided otherwise

Array = np.ndarray[Any, Any]


class Holdout:
    """The held-out rows and what the model says of them."""

    def __init__(self, spec: dict[str, Any], folder: Path) -> None:
        self.features: list[str] = [f["name"] for f in spec["signature"]["inputs"]]
        self.classes: list[str] = spec["signature"]["classes"]
        reference = folder / spec["drift"]["reference_dataset"]
        self.reference = tabular.read_table(reference)
        self.table = tabular.read_table(reference.with_name("holdout.csv"))
        self.rows = np.array([self.table[f] for f in self.features], dtype=np.float64).T
        # the last class is the positive one: fraud, malignant
        self.truth = np.array(self.table["label"]) == self.classes[-1]
        self._model = torch.export.load(folder / spec["model"]["uri"]).module()
        self.scores = self.probabilities(self.rows)[:, -1]
        self.said = self.scores > 0.5

    def probabilities(self, rows: Array) -> Array:
        with torch.inference_mode():
            answers: Array = self._model(torch.tensor(rows, dtype=torch.float32)).double().numpy()
        return answers


def quality(data: Holdout) -> dict[str, float]:
    return {
        "accuracy": metrics.accuracy_score(data.truth, data.said),
        "f1_score": metrics.f1_score(data.truth, data.said),
        "precision": metrics.precision_score(data.truth, data.said),
        "recall": metrics.recall_score(data.truth, data.said),
        "auc_roc": metrics.roc_auc_score(data.truth, data.scores),
    }


def fairness(data: Holdout, attributes: list[str]) -> dict[str, float]:
    """The widest gap between any two groups, the worst attribute counting.

    Demographic parity: in the share of rows called positive. Equalized odds: in the true or in
    the false positive rate, whichever gap is wider.
    """

    def gap(attribute: str, among: Array) -> float:
        groups = np.array(data.table[attribute])
        shares = [data.said[among & (groups == group)].mean() for group in np.unique(groups)]
        return float(max(shares) - min(shares))

    everyone = np.ones_like(data.truth)
    return {
        "demographic_parity": max(gap(a, everyone) for a in attributes),
        "equalized_odds": max(max(gap(a, data.truth), gap(a, ~data.truth)) for a in attributes),
    }


def drift(data: Holdout, monitored: list[str]) -> float:
    """The largest population stability index of a monitored feature, reference against held-out.

    Ten bins at the reference's deciles, or five at its quintiles below 500 rows, where ten would
    measure noise; a bin for each value where there are few. Half a row is added to every bin, so
    that an empty one stays finite.
    """

    def index(name: str) -> float:
        old, new = (np.array(t[name], dtype=np.float64) for t in (data.reference, data.table))
        bins = 10 if len(old) >= 500 else 5
        edges = np.unique(np.quantile(old, np.linspace(0, 1, bins + 1)[1:-1]))
        size = len(edges) + 1
        shares = []
        for values in (old, new):
            counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=size) + 0.5
            shares.append(counts / counts.sum())
        return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))

    return max(index(name) for name in monitored)


def importance(data: Holdout) -> dict[str, float]:
    """How much accuracy is lost when one feature's values are shuffled among the rows."""
    rng = np.random.default_rng(0)
    right = np.mean(data.said == data.truth)
    losses = {}
    for column, name in enumerate(data.features):
        shuffled = []
        for _ in range(ROUNDS):
            rows = data.rows.copy()
            rows[:, column] = rng.permutation(rows[:, column])
            shuffled.append(np.mean((data.probabilities(rows)[:, -1] > 0.5) == data.truth))
        losses[name] = float(right - np.mean(shuffled))
    return losses


def golden(data: Holdout, inputs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    rows = np.array([[g["instance"][f] for f in data.features] for g in inputs], dtype=np.float64)
    return {
        case["name"]: dict(zip(data.classes, map(float, answer), strict=True))
        for case, answer in zip(inputs, data.probabilities(rows), strict=True)
    }


def evaluate(manifest: Path) -> dict[str, Any]:
    """What the manifest should declare, section by section."""
    spec = yaml.safe_load(manifest.read_text())["spec"]
    data = Holdout(spec, manifest.parent)
    return {
        "metrics": quality(data),
        "fairness": fairness(data, spec["fairness"]["protected_attributes"]),
        "drift": {"score": drift(data, spec["drift"]["monitored_features"])},
        "explainability": {"feature_importance": importance(data)},
        "golden_inputs": golden(data, spec["inference"]["golden_inputs"]),
    }


def declared(manifest: Path) -> dict[str, Any]:
    spec = yaml.safe_load(manifest.read_text())["spec"]
    cases = spec["inference"]["golden_inputs"]
    said = {case["name"]: case["expected"].get("probabilities", {}) for case in cases}
    return {**spec, "golden_inputs": said}


def differences(measured: dict[str, Any], said: dict[str, Any], path: str = "") -> list[str]:
    """Every measured number that the manifest gives otherwise, or not at all."""
    found = []
    for key, value in measured.items():
        here = f"{path}{key}"
        if isinstance(value, dict):
            found += differences(value, said.get(key, {}), f"{here}.")
        elif key not in said or not abs(said[key] - value) <= TOLERANCE:
            found.append(f"{here}: declared {said.get(key, 'nowhere')}, measured {value:.4f}")
    return found


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    # adding 0.0 turns -0.0 into 0.0
    return round(float(value), 4) + 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description="Recompute what a manifest declares.")
    parser.add_argument("manifest", type=Path)
    manifest: Path = parser.parse_args().manifest
    measured = evaluate(manifest)
    print(yaml.safe_dump(rounded(measured), sort_keys=False), end="")
    wrong = differences(measured, declared(manifest))
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
