"""The render stage: the Kubernetes objects of a release, as one YAML.

`kustomize/` holds what all models share and what each environment adds. What is this model's own
is written here as one more kustomization on top of the environment's overlay, and kustomize puts
them together. The same manifest and image give the same bytes.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio.to_thread

from pipeline import digest, image_reference, resources
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.findings import ToolReport, ToolStatus
from pipeline.image_reference import ImageReference
from pipeline.manifest import Manifest, ModelDeployment
from pipeline.manifest.operation import HealthCheck, ReadinessCheck
from pipeline.manifest.paths import shown
from pipeline.record import Outcome, StageReport
from pipeline.runtimes.interface import ToolNotFound
from pipeline.stages.interface import Context
from pipeline.state import write_atomically
from pipeline.tools import kustomize
from pipeline.tools.interface import NoResult

NAME = "render"
OBJECTS = "reports/rendered.yaml"

# The folders as kustomize sees them, beside each other.
SHARED = "kustomize"
OWN = "model"
# What the base calls every object, its one container and that one's image.
BASE_NAME = "model"
BASE_CONTAINER = "server"
BASE_IMAGE = "model-server"


async def run(context: Context, manifest: Manifest, image: str) -> tuple[StageReport, bytes]:
    """Render the objects that run `image`, which is given by digest.

    Raises InvalidInput for an image without digest, EnvironmentFailed when kustomize is not there
    or fails.
    """
    began = time.monotonic()
    files = render(manifest, image, context.environment)
    context.progress.step(f"rendering the Kubernetes objects for {context.environment}")
    shared = resources.folder("kustomize")
    with tempfile.TemporaryDirectory(prefix="mlifecycle-render-") as room:
        own = Path(room) / OWN
        await anyio.to_thread.run_sync(_write, own, files)
        try:
            outcome = await context.runtime.run(kustomize.build({SHARED: shared, OWN: own}, OWN))
        except ToolNotFound as error:
            raise EnvironmentFailed(f"{error.tool} is not installed.", error.remedy) from error
    try:
        objects, count = kustomize.objects(outcome)
    except NoResult as reason:
        raise EnvironmentFailed(
            f"There are no Kubernetes objects: {kustomize.NAME}: {reason}."
        ) from (reason)
    write_atomically(context.run_folder / OBJECTS, objects)
    metadata = manifest.model.metadata
    tool = ToolReport(
        tool=kustomize.NAME,
        version=await context.runtime.version(kustomize.NAME) or "unknown",
        status=ToolStatus.RAN,
        audited=count,
        seconds=outcome.seconds,
    )
    report = StageReport(
        stage=NAME,
        outcome=Outcome.PASSED,
        summary=f"{count} Kubernetes objects of {metadata.namespace}/{metadata.name} "
        f"for {context.environment}",
        inputs={
            "manifest": manifest.digest,
            "image": _parsed(image).digest,
            "overlays": digest.of_folder(shared),
        },
        outputs={"objects": digest.of_bytes(objects)},
        tools=(tool,),
        artifacts={"objects": OBJECTS},
        seconds=time.monotonic() - began,
    )
    return report, objects


def render(manifest: Manifest, image: str, environment: Environment) -> dict[str, bytes]:
    """The files of the model's own kustomization, by their names in its folder.

    Raises InvalidInput for an image without digest.
    """
    model = manifest.model
    documents = {
        "kustomization.yaml": _kustomization(model, _parsed(image), environment),
        "deployment.json": _deployment(manifest),
        "name.json": [{"op": "replace", "path": "/metadata/name", "value": model.metadata.name}],
    }
    # JSON is YAML in which every text is quoted. In plain YAML a version such as 1e3 would be text
    # to PyYAML, and a number to kustomize.
    return {
        name: (json.dumps(document, indent=1) + "\n").encode()
        for name, document in documents.items()
    }


def _kustomization(
    model: ModelDeployment, image: ImageReference, environment: Environment
) -> dict[str, Any]:
    metadata = model.metadata
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../{SHARED}/overlays/{environment.value}"],
        "namespace": metadata.namespace,
        "images": [
            {
                "name": BASE_IMAGE,
                "newName": image.repository,
                **({"newTag": image.tag} if image.tag else {}),
                "digest": image.digest,
            }
        ],
        # Named by its content: servers of the version before keep the settings they started with.
        "configMapGenerator": [
            {
                "name": _settings_name(model),
                "literals": [f"{name}={value}" for name, value in settings(model).items()],
            }
        ],
        "labels": [
            # Only what never changes selects: a Deployment's selector cannot be changed.
            {"pairs": {"app.kubernetes.io/name": metadata.name}, "includeSelectors": True},
            {
                "pairs": {
                    **metadata.labels,
                    "app.kubernetes.io/managed-by": "mlifecycle",
                    "mlifecycle.io/environment": environment.value,
                },
                "includeTemplates": True,
            },
        ],
        "patches": [
            {"path": "deployment.json"},
            {
                "path": "name.json",
                "target": {"name": BASE_NAME},
                "options": {"allowNameChange": True},
            },
        ],
        # Accounts and settings before what uses them: the order in which to apply.
        "sortOptions": {"order": "legacy"},
    }


def _deployment(manifest: Manifest) -> dict[str, Any]:
    """What the manifest says of the Deployment, to be laid over the base's."""
    spec = manifest.model.spec
    inference = spec.inference
    container: dict[str, Any] = {
        "name": BASE_CONTAINER,
        "envFrom": [{"configMapRef": {"name": _settings_name(manifest.model)}}],
        "livenessProbe": _timing(inference.health_check),
        "readinessProbe": _timing(inference.readiness_check),
    }
    if inference.resources is not None:
        container["resources"] = inference.resources.model_dump(exclude_none=True)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": BASE_NAME, "annotations": _annotations(manifest)},
        "spec": {
            "replicas": inference.replicas,
            "template": {"spec": {"containers": [container]}},
        },
    }


def _annotations(manifest: Manifest) -> dict[str, str]:
    """Where the workload comes from, for people who look at it in the cluster."""
    spec = manifest.model.spec
    found = {
        "mlifecycle.io/model": spec.model.name,
        "mlifecycle.io/version": spec.model.version,
        "mlifecycle.io/manifest": manifest.digest,
    }
    if spec.drift is not None and spec.drift.reference_dataset is not None:
        found["mlifecycle.io/reference-dataset"] = spec.drift.reference_dataset
    return found


def _timing(check: HealthCheck | ReadinessCheck) -> dict[str, int]:
    return {
        "initialDelaySeconds": check.initial_delay_seconds,
        "periodSeconds": check.period_seconds,
        "timeoutSeconds": check.timeout_seconds,
        "failureThreshold": check.failure_threshold,
    }


def settings(model: ModelDeployment) -> dict[str, str]:
    """The server's environment. What it must know of the model is in its image."""
    # Libraries count the node's cores, whatever the server's share of them is.
    found = {"OMP_NUM_THREADS": "1"}
    tracing = model.spec.observability.tracing
    if tracing.enabled and tracing.endpoint is not None:
        found["OTEL_EXPORTER_OTLP_ENDPOINT"] = tracing.endpoint
        found["OTEL_SERVICE_NAME"] = model.metadata.name
    return found


def _settings_name(model: ModelDeployment) -> str:
    return f"{model.metadata.name}-settings"


def _parsed(image: str) -> ImageReference:
    parsed = image_reference.parse(image)
    if parsed is None:
        raise InvalidInput(
            [
                Problem(
                    "image",
                    "",
                    shown(image),
                    image_reference.EXPECTED,
                    "Name the image that was pushed by the digest that the registry gave it: a tag "
                    "may be another image by the time a pod starts.",
                )
            ]
        )
    return parsed


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
