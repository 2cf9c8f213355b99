"""Write one manifest for every governance rule: the valid example with a single mistake.

    python examples/invalid/make.py

Each file is named by the rule that denies it, and by no other. A test writes them again and
compares, and has each one judged.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
VALID = HERE.parent / "valid" / "model-manifest.yaml"


@dataclass(frozen=True)
class Mistake:
    """`old` occurs once in the valid manifest and becomes `new`.

    `serving` is what the catalog has to say for the rule to fire: version, accuracy, F1 score.
    """

    old: str
    new: str
    about: str
    environment: str = "local"
    serving: tuple[str, float, float] | None = None


MISTAKES = {
    "MG-ACC-001": Mistake("accuracy: 0.9608", "accuracy: 0.84", "The accuracy is below 0.85."),
    "MG-F1-001": Mistake("f1_score: 0.9189", "f1_score: 0.79", "The F1 score is below 0.80."),
    "MG-SMP-001": Mistake(
        "training_samples: 12000", "training_samples: 99", "The model saw 99 samples."
    ),
    "MG-FAIR-001": Mistake(
        "    protected_attributes: [age_group]\n", "", "Nobody says which groups were compared."
    ),
    "MG-FAIR-002": Mistake(
        "demographic_parity: 0.0267",
        "demographic_parity: -0.10",
        "One group gets positive predictions ten points less often.",
    ),
    "MG-FAIR-003": Mistake(
        "equalized_odds: 0.0162",
        "equalized_odds: 0.10",
        "The model is wrong about one group ten points more often.",
    ),
    "MG-FAIR-004": Mistake(
        "    evaluation_date: 2026-11-23",
        "    evaluation_date: 2026-11-22",
        "Fairness was evaluated the day before the training ended: on another model.",
    ),
    "MG-DRF-001": Mistake("score: 0.0187", "score: 0.30", "The inputs have moved too far."),
    "MG-DRF-003": Mistake(
        "last_evaluated: 2026-11-23",
        "last_evaluated: 2026-11-22",
        "Drift was measured the day before the training ended.",
    ),
    "MG-XAI-001": Mistake(
        "method: permutation_importance", "method: gut_feeling", "No known method explains it."
    ),
    "MG-XAI-002": Mistake(
        """    feature_importance:
      distance_from_home_km: 0.0428
      transactions_last_24h: 0.0347
      amount_to_average: 0.0209
      merchant_risk: 0.0175
      failed_attempts_last_24h: 0.0124
      card_present: 0.0041
      hour: 0.0014
      amount: 0.0006
      account_age_days: 0.0001
""",
        "",
        "A method is named, and no result.",
    ),
    "MG-REG-001": Mistake(
        "accuracy: 0.9608",
        "accuracy: 0.93",
        "Good enough by itself, and 0.03 below the version in service.",
        serving=("1.1.0", 0.96, 0.92),
    ),
    "MG-REG-002": Mistake(
        "f1_score: 0.9189",
        "f1_score: 0.89",
        "Good enough by itself, and 0.03 below the version in service.",
        serving=("1.1.0", 0.96, 0.92),
    ),
    "MG-PRV-001": Mistake(
        "spec:\n",
        "spec:\n  previous_version: 1.1.0\n",
        "It claims to replace 1.1.0, and nothing serves.",
    ),
    "MG-VER-001": Mistake(
        "    version: 1.2.0\n", "    version: v1.2\n", "The version is no semantic version."
    ),
    "MG-FRM-001": Mistake(
        "framework: pytorch", "framework: homegrown", "The framework is not on the list."
    ),
    "MG-TRK-001": Mistake(
        "    experiment_id: fraud-2026-11\n", "", "Nobody says which experiment it came out of."
    ),
    "MG-URI-001": Mistake(
        "uri: fraud-detector/model.pt2",
        "uri: fraud-detector/../../valid/fraud-detector/model.pt2",
        "The model's path climbs out of the manifest's folder.",
    ),
    "MG-DIG-001": Mistake(
        "    # The build measures the file's digest. Stated here, it must agree, and prod wants it "
        "stated:\n    # digest: sha256:… (breast-cancer-manifest.yaml has one)\n",
        "",
        "Customers' models must name the exact file that was evaluated.",
        environment="prod",
    ),
    "MG-TRF-001": Mistake(
        "    experiment_id:",
        "    transform: fraud-detector/transform.py\n    experiment_id:",
        "Code of the model's own, where customers' models may not bring any.",
        environment="staging",
    ),
    "MG-SRC-001": Mistake(
        "source: s3://acme-bank-curated/transactions/2026-10",
        "source: s3://acme-bank-curated/transactions-raw/2026-10",
        "The name starts like an approved source's, and is another's.",
    ),
    "MG-SRC-002": Mistake(
        'version: "2026-10"', "version: latest", "Nobody can tell later which data that was."
    ),
    "MG-DEP-001": Mistake(
        '- "numpy>=2"', '- "numpyy>=2"', "One letter off the allowlist, and another package."
    ),
    "MG-DEP-002": Mistake('- "numpy>=2"', "- numpy", "Any version of numpy at all."),
    "MG-DEP-003": Mistake(
        '- "numpy>=2"',
        '- "numpy @ https://wheels.example.com/numpy-2.0.0-py3-none-any.whl"',
        "A package from an address, past the index and its scanners.",
    ),
    "MG-RES-001": Mistake(
        "requests: {cpu: 250m, memory: 512Mi}",
        'requests: {cpu: "2", memory: 512Mi}',
        "It asks for more CPU than it may use.",
    ),
    "MG-RES-002": Mistake(
        'limits: {cpu: "1", memory: 2Gi}',
        'limits: {cpu: "1"}',
        "Nothing keeps it from taking all memory.",
    ),
    "MG-MON-001": Mistake(
        "monitoring:\n    enabled: true",
        "monitoring:\n    enabled: false",
        "Nobody watches the model.",
    ),
    "MG-MON-002": Mistake(
        "drift_detection: {enabled: true, threshold: 0.2, window: 1h}",
        "drift_detection: {enabled: true, threshold: 0.5, window: 1h}",
        "The alarm comes after the drift at which a model may no longer be deployed.",
    ),
    "MG-MON-003": Mistake(
        "      - {name: HighErrorRate, metric: error_rate, threshold: 0.05, window: 5m, "
        "severity: critical}\n",
        "",
        "Nobody is told when requests fail.",
    ),
}


def made(rule: str) -> str:
    """The text of the manifest that `rule` denies."""
    mistake = MISTAKES[rule]
    valid = VALID.read_text(encoding="utf-8")
    if valid.count(mistake.old) != 1:
        raise SystemExit(f"{rule}: {mistake.old!r} does not occur once in {VALID.name}")
    body = valid[valid.index("apiVersion:") :].replace(mistake.old, mistake.new)
    schema = valid.splitlines()[0]
    where = "" if mistake.environment == "local" else f" --environment {mistake.environment}"
    lines = [
        schema,
        "#",
        *_wrapped(f"Denied by {rule}, and by no other rule. {mistake.about}"),
        "#",
        f"#   mlifecycle govern --manifest examples/invalid/{rule}.yaml{where}",
    ]
    if mistake.serving is not None:
        version, accuracy, f1_score = mistake.serving
        said = (
            f"The rule speaks when the catalog says that {version} serves with an accuracy of "
            f"{accuracy} and an F1 score of {f1_score}; where nothing serves, this is allowed."
        )
        lines += ["#", *_wrapped(said)]
    lines += [
        "#",
        "# Written by make.py from the valid example. Its model is not here: the model of a denied",
        "# manifest is never read.",
    ]
    return "\n".join(lines) + "\n" + body


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 98, initial_indent="# ", subsequent_indent="# ")


def main() -> None:
    for rule in MISTAKES:
        (HERE / f"{rule}.yaml").write_text(made(rule), encoding="utf-8")


if __name__ == "__main__":
    main()
