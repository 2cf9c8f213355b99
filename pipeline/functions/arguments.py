"""The arguments that several functions share: a flag reads the same everywhere."""

from __future__ import annotations

import enum
from typing import Annotated

import dagger
from dagger import DefaultPath, Doc, Ignore, Name, enum_type


@enum_type
class Environment(enum.Enum):
    """Whose thresholds apply, and where the model goes."""

    LOCAL = "local"
    """A laptop: the lightest demands"""

    DEV = "dev"
    """Shared by those who build models"""

    STAGING = "staging"
    """As production, before it"""

    PROD = "prod"
    """For customers: the strictest demands"""


@enum_type
class PoliciesMode(enum.Enum):
    """What becomes of the bundled policies."""

    EXTEND = "extend"
    """One's own are added to them"""

    REPLACE = "replace"
    """One's own stand in their place"""


@enum_type
class ReportFormat(enum.Enum):
    """The form of a report."""

    SARIF = "SARIF"
    """For code scanning services"""

    JSON = "JSON"
    """Everything, for programs"""

    JUNIT = "JUNIT"
    """For the test pages of CI systems"""

    MARKDOWN = "MARKDOWN"
    """For people"""


@enum_type
class SbomFormat(enum.Enum):
    """The form of a bill of materials."""

    CYCLONEDX = "CYCLONEDX"
    """CycloneDX, as JSON"""

    SPDX = "SPDX"
    """SPDX, as JSON"""


@enum_type
class Operator(enum.Enum):
    """What a cluster may have that brings models into service by itself."""

    NONE = "none"
    """Kubernetes and nothing else"""

    ARGO_ROLLOUTS = "argo-rollouts"
    """Argo Rollouts: step by step, judged by Prometheus"""

    FLAGGER = "flagger"
    """Flagger without a mesh: judged by Prometheus, then at once"""

    KSERVE = "kserve"
    """KServe in its raw mode"""


@enum_type
class Strategy(enum.Enum):
    """How a new version comes into service in a cluster."""

    ROLLING = "rolling"
    """Pod by pod, until all are new"""

    CANARY = "canary"
    """A few pods beside the old version first, compared with it"""


# What is no part of a submission, and may be gigabytes.
IGNORED = [
    *("**/.git", "**/.venv", "**/__pycache__", "**/node_modules", "**/.mlifecycle"),
    *("**/.mypy_cache", "**/.pytest_cache", "**/.ruff_cache"),
]

Source = Annotated[
    dagger.Directory,
    Doc(
        "The folder that holds the manifest, or any above it. The manifest is found in it by name "
        "and content, and what it names by a relative path is read beside it"
    ),
    DefaultPath("/"),
    Ignore(IGNORED),
]
Demands = Annotated[Environment, Doc("Whose thresholds apply, and where the model goes")]
Policies = Annotated[
    dagger.Directory | None, Doc("Your own Rego policies (*.rego) and data (data/ENVIRONMENT.yaml)")
]
Mode = Annotated[
    PoliciesMode, Doc("Whether policies adds to the bundled ones or stands in their place")
]
Registry = Annotated[
    str | None, Doc("Where images are published: a repository, such as ghcr.io/acme/models")
]
RegistryUsername = Annotated[str | None, Doc("The user at the registry")]
RegistryPassword = Annotated[dagger.Secret | None, Doc("Password or token at the registry")]
Images = Annotated[
    dagger.File | None,
    Doc(
        "A JSON or YAML file that maps tools, python and uv to other images by digest, for mirrors "
        "and closed networks"
    ),
]
PackageIndex = Annotated[
    str | None, Doc("The index that packages are installed from, in the place of the default one")
]
TorchIndex = Annotated[str | None, Doc("An index beside it, such as one with CPU builds of torch")]
Netrc = Annotated[
    dagger.Secret | None,
    Doc("What the indexes ask for: a .netrc with a line for each host, such as file:$HOME/.netrc"),
]
TrivyDatabase = Annotated[
    dagger.File | None,
    Doc("trivy's vulnerability database: a tar with trivy.db and metadata.json"),
]
TrivyRepository = Annotated[
    str | None, Doc("The OCI repository that trivy's vulnerability database is fetched from")
]
GrypeDatabase = Annotated[
    dagger.File | None, Doc("grype's vulnerability database: what grype db import takes")
]
Certificates = Annotated[
    dagger.File | None, Doc("Certificates (PEM) that are trusted, in the place of the public ones")
]
Tracking = Annotated[
    dagger.Secret | None,
    Doc(
        "The address of the MLflow server that is the catalog; without it the catalog is a volume "
        "of the engine"
    ),
]
ForOperator = Annotated[
    Operator,
    Doc("What the cluster has that brings models into service by itself"),
    Name("for"),
]
Kubeconfig = Annotated[
    dagger.Secret | None,
    Doc(
        "The cluster that the model goes to, with a token or a client certificate in it: "
        "file:$HOME/.kube/config. Without it the image is proved as a service in the engine"
    ),
]
ContextName = Annotated[
    str | None, Doc("Which of the kubeconfig's contexts; by default its current one")
]
ApiServer = Annotated[
    dagger.Service | None,
    Doc(
        "The cluster's API server, where only the caller's machine reaches it: "
        "tcp://127.0.0.1:6443, as of kind or minikube"
    ),
]
ApiKey = Annotated[
    dagger.Secret | None,
    Doc("An API key or token to ask the pods with, where spec.inference.access demands one"),
]
RolloutStrategy = Annotated[Strategy, Doc("How the new version comes into service in a cluster")]
CanaryPods = Annotated[
    int, Doc("With CANARY: how many pods; their share of the requests is their share of the pods")
]
CanarySeconds = Annotated[float, Doc("With CANARY: how long both versions are watched")]
ReadyTimeout = Annotated[float, Doc("How many seconds the cluster's pods may take to get ready")]
ForceConflicts = Annotated[bool, Doc("In a cluster: write over fields that somebody else has set")]
ManifestFile = Annotated[dagger.File, Doc("The model manifest")]
Format = Annotated[ReportFormat, Doc("The form of the report")]
