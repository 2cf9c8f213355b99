"""A model's own kustomization: what its manifest says, laid over the shared overlays.

The model's objects are one layer, named and labelled as the manifest says. The namespace, which
several models may share, comes beside them.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.environment import Environment
from pipeline.image_reference import ImageReference
from pipeline.kubernetes import alerts, dashboard, egress, platforms
from pipeline.kubernetes.platforms import Platform, autoscaled, triggers
from pipeline.manifest import Manifest, ModelDeployment
from pipeline.manifest.operation import Access, Autoscaling, HealthCheck, Ingress, ReadinessCheck

# The folders as kustomize sees them, beside each other.
SHARED = "kustomize"
OWN = "model"
# What the base calls every object, its one container and that one's image.
BASE_NAME = "model"
BASE_SETTINGS = "model-settings"
BASE_KEYS = "model-keys"
BASE_CONTAINER = "server"
BASE_IMAGE = "model-server"

MANAGER = "mlifecycle"
DASHBOARD = "dashboard.json"


def files(
    manifest: Manifest,
    image: ImageReference,
    environment: Environment,
    platform: Platform | None = None,
) -> dict[str, bytes]:
    """The files of the model's own kustomization, by their paths in its folder.

    Raises InvalidInput when the platform is to judge new pods and the manifest says by nothing.
    """
    documents = {
        "kustomization.yaml": _whole(manifest, platform),
        "objects/kustomization.yaml": _objects(manifest, image, environment),
        "objects/deployment.json": _deployment(manifest),
    }
    if watched(manifest.model):
        documents[f"objects/{DASHBOARD}"] = dashboard.document(manifest.model)
    # JSON is YAML in which every text is quoted. In plain YAML a version such as 1e3 would be text
    # to PyYAML, and a number to kustomize.
    return {
        name: (json.dumps(document, indent=1) + "\n").encode()
        for name, document in documents.items()
    }


def watched(model: ModelDeployment) -> bool:
    """Whether Prometheus is to read the server's numbers."""
    monitoring = model.spec.monitoring
    return (
        monitoring is not None and monitoring.enabled and model.spec.observability.metrics.enabled
    )


def settings(model: ModelDeployment) -> dict[str, str]:
    """The server's environment. What it must know of the model is in its image."""
    found: dict[str, str] = {}
    tracing, access = model.spec.observability.tracing, model.spec.inference.access
    if tracing.enabled and tracing.endpoint is not None:
        found["OTEL_EXPORTER_OTLP_ENDPOINT"] = tracing.endpoint
        found["OTEL_SERVICE_NAME"] = model.metadata.name
    return found | ({} if access is None else _asking(access))


def _asking(access: Access) -> dict[str, str]:
    """The settings of a server that asks who comes."""
    ways = {"keys": access.keys_secret, "jwt": access.tokens}
    found = {
        "MLIFECYCLE_SERVING_AUTHENTICATION": ",".join(way for way, by in ways.items() if by),
        # The kubelet and Prometheus come without a credential; the NetworkPolicy and the Ingress,
        # which has /predict alone, keep others from these.
        "MLIFECYCLE_SERVING_PUBLIC": "health,ready,metrics",
    }
    if access.tokens is not None:
        found["MLIFECYCLE_SERVING_JWT_ISSUER"] = access.tokens.issuer
        found["MLIFECYCLE_SERVING_JWT_AUDIENCE"] = access.tokens.audience
        found["MLIFECYCLE_SERVING_JWT_KEYS"] = access.tokens.key_set
    return found


def _whole(manifest: Manifest, platform: Platform | None) -> dict[str, Any]:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../{SHARED}/namespace", "objects"],
        "namespace": manifest.model.metadata.namespace,
        # Over finished objects: from them it takes names, labels, thresholds and pods.
        "components": [
            f"../{SHARED}/components/{name}" for name in platforms.components(manifest, platform)
        ],
        "patches": platforms.patches(manifest.model, platform),
        # Accounts and settings before what uses them: the order in which to apply.
        "sortOptions": {"order": "legacy"},
    }


def _objects(manifest: Manifest, image: ImageReference, environment: Environment) -> dict[str, Any]:
    model = manifest.model
    metadata = model.metadata
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../../{SHARED}/overlays/{environment.value}"],
        "components": [f"../../{SHARED}/components/{name}" for name in _components(model)],
        "images": [
            {
                "name": BASE_IMAGE,
                "newName": image.repository,
                **({"newTag": image.tag} if image.tag else {}),
                "digest": image.digest,
            }
        ],
        "configMapGenerator": [
            {
                "name": BASE_SETTINGS,
                "behavior": "merge",
                "literals": [f"{name}={value}" for name, value in settings(model).items()],
            },
            *_dashboard(model),
        ],
        "labels": [
            # Only what never changes selects: a Deployment's selector cannot be changed.
            {
                "pairs": {"app.kubernetes.io/name": metadata.name},
                "includeSelectors": True,
                "fields": [{"path": "spec/selector/matchLabels", "kind": "ServiceMonitor"}],
            },
            {
                "pairs": {
                    **metadata.labels,
                    "app.kubernetes.io/managed-by": MANAGER,
                    "mlifecycle.io/environment": environment.value,
                },
                "includeTemplates": True,
            },
        ],
        "patches": [
            {"path": "deployment.json"},
            *_patches(model),
            *_names(metadata.name),
        ],
    }


def _components(model: ModelDeployment) -> list[str]:
    """What the manifest switches on; what the environment does is in its overlay."""
    asked = {
        "autoscaling": autoscaled(model) is not None,
        "api-keys": keys_secret(model) is not None,
        "ingress": model.spec.inference.ingress is not None,
        "monitoring": watched(model),
    }
    return [name for name, on in asked.items() if on]


def _dashboard(model: ModelDeployment) -> list[dict[str, Any]]:
    if not watched(model):
        return []
    # Nothing refers to it, so its name needs no digest of its content.
    options = {"disableNameSuffixHash": True, "labels": dashboard.LABELS}
    return [
        {
            "name": f"{model.metadata.name}-dashboard",
            "files": [DASHBOARD],
            "options": options,
        }
    ]


def _patches(model: ModelDeployment) -> list[dict[str, Any]]:
    inference = model.spec.inference
    patches = []
    if (autoscaling := autoscaled(model)) is not None:
        patches.append(_patch("HorizontalPodAutoscaler", _bounds(autoscaling)))
    if inference.ingress is not None:
        patches.append(_patch("Ingress", _way_in(inference.ingress)))
    if (secret := keys_secret(model)) is not None:
        patches.append(_patch("Deployment", _keys(secret)))
    if watched(model):
        rules = [{"op": "replace", "path": "/spec/groups", "value": alerts.groups(model)}]
        patches.append(_patch("PrometheusRule", rules))
    asked = settings(model)
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "MLIFECYCLE_SERVING_JWT_KEYS"):
        if (rule := egress.rule(asked.get(name))) is not None:
            way_out = [{"op": "add", "path": "/spec/egress/-", "value": rule}]
            patches.append(_patch("NetworkPolicy", way_out))
    return patches


def _names(name: str) -> list[dict[str, Any]]:
    """The model's name for what the base calls by its own; kustomize follows it in references."""
    return [
        {
            "target": {"name": f"^{base}$"},
            "patch": json.dumps([{"op": "replace", "path": "/metadata/name", "value": named}]),
            "options": {"allowNameChange": True},
        }
        for base, named in ((BASE_NAME, name), (BASE_SETTINGS, f"{name}-settings"))
    ]


def _patch(kind: str, operations: list[dict[str, Any]]) -> dict[str, Any]:
    return {"target": {"kind": kind, "name": f"^{BASE_NAME}$"}, "patch": json.dumps(operations)}


def _bounds(autoscaling: Autoscaling) -> list[dict[str, Any]]:
    target = "/spec/metrics/0/resource/target/averageUtilization"
    return [
        {"op": "replace", "path": "/spec/minReplicas", "value": autoscaling.min_replicas},
        {"op": "replace", "path": "/spec/maxReplicas", "value": autoscaling.max_replicas},
        {"op": "replace", "path": target, "value": autoscaling.target_cpu_utilization},
    ]


def _way_in(ingress: Ingress) -> list[dict[str, Any]]:
    operations: list[dict[str, Any]] = [
        {"op": "replace", "path": "/spec/rules/0/host", "value": ingress.host}
    ]
    if ingress.tls_secret is not None:
        tls = [{"hosts": [ingress.host], "secretName": ingress.tls_secret}]
        operations.append({"op": "add", "path": "/spec/tls", "value": tls})
    return operations


def keys_secret(model: ModelDeployment) -> str | None:
    """The Secret with the hashes of API keys; None where no key is taken."""
    access = model.spec.inference.access
    return None if access is None else access.keys_secret


def _keys(secret: str) -> list[dict[str, Any]]:
    # The component puts its volume before those of the base, as strategic merges do.
    path = "/spec/template/spec/volumes/0/secret/secretName"
    return [
        {"op": "test", "path": path, "value": BASE_KEYS},
        {"op": "replace", "path": path, "value": secret},
    ]


def _deployment(manifest: Manifest) -> dict[str, Any]:
    """What the manifest says of the Deployment, to be laid over the base's."""
    inference = manifest.model.spec.inference
    container: dict[str, Any] = {
        "name": BASE_CONTAINER,
        "livenessProbe": _timing(inference.health_check),
        "readinessProbe": _timing(inference.readiness_check),
    }
    if inference.resources is not None:
        container["resources"] = inference.resources.model_dump(exclude_none=True)
    spec: dict[str, Any] = {"template": {"spec": {"containers": [container]}}}
    # The number that an autoscaler has set is not to be set back by a deploy.
    if autoscaled(manifest.model) is None:
        spec["replicas"] = inference.replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": BASE_NAME, "annotations": _annotations(manifest)},
        "spec": spec,
    }


def _annotations(manifest: Manifest) -> dict[str, str]:
    """Where the workload comes from and what takes it back, for whoever looks in the cluster."""
    spec = manifest.model.spec
    found = {
        "mlifecycle.io/model": spec.model.name,
        "mlifecycle.io/version": spec.model.version,
        "mlifecycle.io/manifest": manifest.digest,
    }
    if spec.drift is not None and spec.drift.reference_dataset is not None:
        found["mlifecycle.io/reference-dataset"] = spec.drift.reference_dataset
    return found | {f"mlifecycle.io/{name}": value for name, value in triggers(manifest.model)}


def _timing(check: HealthCheck | ReadinessCheck) -> dict[str, int]:
    return {
        "initialDelaySeconds": check.initial_delay_seconds,
        "periodSeconds": check.period_seconds,
        "timeoutSeconds": check.timeout_seconds,
        "failureThreshold": check.failure_threshold,
    }
