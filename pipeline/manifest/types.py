"""The manifest as types: what a data scientist writes to get a model served.

A field says what a value must be, and its `effect` what it changes. Whether a well-formed
manifest is good enough is the policy's matter: what a policy asks for is optional here, so that
its absence is answered by the rule that wants it. Checks across fields are in `consistency`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pipeline.manifest.evidence import (
    DataSource,
    Drift,
    Explainability,
    Fairness,
    Metrics,
    Model,
    Signature,
)
from pipeline.manifest.fields import Section, field, section
from pipeline.manifest.monitoring import Monitoring, Observability
from pipeline.manifest.operation import Inference, Rollback
from pipeline.manifest.values import Dependency, DnsLabel, LabelKey, LabelValue, Version


class Metadata(Section):
    """Which deployment this is, and whose."""

    name: DnsLabel = field(
        "The deployment's name.",
        "With the namespace, the deployment that every command means. "
        "Cluster objects: their names.",
    )
    namespace: DnsLabel = field(
        "Where it belongs.", "Keeps deployments apart. Cluster objects: their namespace."
    )
    labels: Mapping[LabelKey, LabelValue] = field(
        "Kubernetes labels. `team` is required: who answers for this model.",
        "Cluster objects: their labels.",
        schema={
            "required": ["team"],
            "properties": {"team": {"minLength": 1}},
        },
    )


class Spec(Section):
    """The model, the evidence for it, and how it runs."""

    model: Model = section("The model file and its identity.")
    signature: Signature = section("What the model takes and gives.")
    metrics: Metrics | None = section("How good the model is.", None)
    fairness: Fairness | None = section("How differently it treats groups of people.", None)
    drift: Drift | None = section("How far its inputs have moved.", None)
    dependencies: tuple[Dependency, ...] = field(
        "What the model needs to run, as PEP 508 requirements.",
        "Judged: MG-DEP-001, MG-DEP-002, MG-DEP-003. "
        "Resolved with the server's own into one lock, and installed.",
        (),
        max_length=200,
    )
    data_sources: tuple[DataSource, ...] | None = section(
        "Where training and evaluation data came from.", None, min_length=1, max_length=100
    )
    inference: Inference = section("How the server is run and how it is known to work.")
    monitoring: Monitoring | None = section("What is watched once the model serves.", None)
    explainability: Explainability | None = section("How predictions can be explained.", None)
    observability: Observability = section("What the server tells about itself.", Observability())
    rollback: Rollback | None = section("Whether a bad new version is taken back.", None)
    previous_version: Version | None = field(
        "The version that this one replaces, as its authors believe.",
        "Judged: it must agree with the catalog (MG-PRV-001).",
        None,
    )


class ModelDeployment(Section):
    """The whole manifest."""

    api_version: Literal["mlifecycle.io/v1"] = field(
        "The version of this format.", "Other versions are refused.", alias="apiVersion"
    )
    kind: Literal["ModelDeployment"] = field("What the file is.", "Other kinds are refused.")
    metadata: Metadata = section("Which deployment this is, and whose.")
    spec: Spec = section("The model, the evidence for it, and how it runs.")
