"""What is being deployed, and what its authors measured: the sections that the policy judges."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from pipeline.manifest.fields import Section, field, section
from pipeline.manifest.values import (
    Difference,
    Digest,
    DnsLabel,
    ExperimentId,
    Identifier,
    Line,
    Name,
    Prose,
    Share,
    Uri,
    Version,
)

_UNIQUE: dict[str, Any] = {"uniqueItems": True}
_DATE: dict[str, Any] = {"patternErrorMessage": "a date such as 2026-11-23"}


class Model(Section):
    """The model file and its identity."""

    name: DnsLabel = field(
        "The model's name.", "In every answer; the catalog goes by metadata.name."
    )
    version: Version = field(
        "The model's version; the policy wants a semantic version.",
        "Judged: MG-VER-001. Recorded in the catalog; in every answer of the server.",
    )
    uri: Uri = field(
        "Where the model file is: a path inside the manifest's folder, or an address.",
        "Judged: MG-URI-001. The build fetches the model from there.",
    )
    digest: Digest | None = field(
        "The SHA-256 that the model file is claimed to have.",
        "Judged: MG-DIG-001. The build refuses a model file with another digest.",
        None,
    )
    transform: Uri | None = field(
        "A Python file inside the manifest's folder with typed `preprocess` or `postprocess`.",
        "Judged: MG-TRF-001. The server runs it around the model; part of the release.",
        None,
    )
    framework: Identifier = field(
        "What the model was made with.", "Judged: MG-FRM-001. Shown by /model/info."
    )
    experiment_id: ExperimentId | None = field(
        "The experiment that the model came out of.", "Judged: MG-TRK-001.", None
    )
    description: Prose | None = field(
        "What the model is for, in a sentence or two.", "Shown by /model/info.", None
    )


class Feature(Section):
    """One input of the model, in the order in which the model takes them."""

    name: Name = field("The feature's name.", "The server takes it in /predict requests.")
    type: Literal["float", "integer"] = field(
        "What values it takes.", "The server refuses a fraction for an integer feature."
    )
    minimum: float | None = field(
        "The smallest value the model knows.", "The server refuses values below it.", None
    )
    maximum: float | None = field(
        "The largest value the model knows.", "The server refuses values above it.", None
    )


class Signature(Section):
    """What the model takes and gives."""

    inputs: tuple[Feature, ...] = section(
        "The features, in the order of the model's inputs.", min_length=1, max_length=1000
    )
    classes: tuple[Name, ...] = field(
        "The classes, in the order of the model's outputs.",
        "The server names its predictions and probabilities by them.",
        min_length=2,
        max_length=1000,
        schema=_UNIQUE,
    )


class Metrics(Section):
    """How good the model is, measured on data that it never saw."""

    accuracy: Share | None = field(
        "The share of right predictions.",
        "Judged: MG-ACC-001, MG-REG-001. Recorded in the catalog.",
        None,
    )
    f1_score: Share | None = field(
        "The harmonic mean of precision and recall.",
        "Judged: MG-F1-001, MG-REG-002. Recorded in the catalog.",
        None,
    )
    precision: Share | None = field(
        "The share of right ones among the positive predictions.", "Recorded in the catalog.", None
    )
    recall: Share | None = field(
        "The share of positives that are found.", "Recorded in the catalog.", None
    )
    auc_roc: Share | None = field("The area under the ROC curve.", "Recorded in the catalog.", None)
    training_date: date | None = field(
        "The day on which the training ended.",
        "Judged: no evaluation may be older (MG-FAIR-004, MG-DRF-003).",
        None,
        schema=_DATE,
    )
    training_samples: int | None = field(
        "How many samples the model was trained on.",
        "Judged: MG-SMP-001. Recorded in the catalog.",
        None,
        ge=1,
        le=10**12,
    )


class Fairness(Section):
    """How differently the model treats groups of people."""

    demographic_parity: Difference | None = field(
        "The difference between the groups' rates of positive predictions.",
        "Judged in absolute value: MG-FAIR-002.",
        None,
    )
    equalized_odds: Difference | None = field(
        "The largest difference between the groups' true and false positive rates.",
        "Judged in absolute value: MG-FAIR-003.",
        None,
    )
    protected_attributes: tuple[Name, ...] | None = field(
        "The attributes whose groups were compared.",
        "Judged: MG-FAIR-001.",
        None,
        min_length=1,
        max_length=100,
        schema=_UNIQUE,
    )
    evaluation_date: date | None = field(
        "The day of the evaluation.", "Judged: MG-FAIR-004.", None, schema=_DATE
    )


class Drift(Section):
    """How far the inputs have moved from what the model was trained on."""

    score: float | None = field(
        "The largest drift of a monitored feature (population stability index).",
        "Judged: MG-DRF-001, MG-DRF-002.",
        None,
        ge=0,
    )
    reference_dataset: Uri | None = field(
        "The data set that later inputs are compared with: a path or an address.",
        "Cluster objects: named in the annotations of the workload.",
        None,
    )
    monitored_features: tuple[Name, ...] | None = field(
        "The features whose drift is watched; each one of the signature's.",
        "The server measures their drift where reference_dataset is a CSV file in the manifest's "
        "folder. Cluster objects: one drift alert each.",
        None,
        min_length=1,
        max_length=1000,
        schema=_UNIQUE,
    )
    last_evaluated: date | None = field(
        "The day on which the score was measured.", "Judged: MG-DRF-003.", None, schema=_DATE
    )


class DataSource(Section):
    """One source of training or evaluation data."""

    source: Uri = field(
        "Its address.",
        "Judged: MG-SRC-001. Approval comes from the policy's data, never from here.",
    )
    version: Line = field("Which state of it was used.", "Judged: MG-SRC-002.")
    description: Prose | None = field("What it is.", "Kept with the release.", None)


class Explainability(Section):
    """How single predictions can be explained."""

    method: Identifier = field("The method, such as permutation_importance.", "Judged: MG-XAI-001.")
    feature_importance: Mapping[Name, float] | None = field(
        "The importance of features, by the name that the signature gives them.",
        "Judged: MG-XAI-002.",
        None,
    )
