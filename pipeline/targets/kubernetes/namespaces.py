"""The namespace that a model lies in: made when it is missing, and never changed without need."""

from __future__ import annotations

from typing import Any

from pipeline.targets.kubernetes.cluster import Cluster, Refused
from pipeline.targets.kubernetes.objects import Document, Key
from pipeline.verdict import Violation

# What Kubernetes puts into every namespace by itself.
_ALWAYS = frozenset({"kube-root-ca.crt"})
_HOLDING = (
    *("/api/v1", "pods"), *("/api/v1", "services"), *("/api/v1", "configmaps"),
    *("/api/v1", "secrets"), *("/api/v1", "persistentvolumeclaims"),
    *("/apis/apps/v1", "deployments"), *("/apis/apps/v1", "statefulsets"),
    *("/apis/batch/v1", "jobs"),
)  # fmt: skip


async def there(
    cluster: Cluster, wanted: list[Document], namespace: str, *, force: bool
) -> tuple[list[Key], list[Violation]]:
    """Make the namespaces that are missing, and set labels that are. Those made, and every no.

    One that is as it should be is not written: an account that only deploys cannot.
    """
    made: list[Key] = []
    for document in wanted:
        key = Key.of(document)
        try:
            live = await cluster.find(key)
            if live is not None and _holds(live["metadata"], document["metadata"]):
                continue
            await cluster.apply(document, force=force)
        except Refused as refused:
            return made, [_refused(key, refused)]
        if live is None:
            made.append(key)
    if any(key.name == namespace for key in made):
        return made, []
    space = Key("v1", "Namespace", "", namespace)
    try:
        if await cluster.find(space) is not None:
            return made, []
        reason = "there is none"
    except Refused as refused:
        if refused.status == 403 and not wanted:
            return made, []  # an account that may not look; what it may do is tried next
        reason = refused.message
    return made, [
        Violation(
            id="DP-NSP-001",
            title="The namespace is not there",
            path=str(space),
            actual=reason,
            expected="the namespace that the manifest names",
            remedy=f"kubectl create namespace {namespace}",
        )
    ]


async def removed(cluster: Cluster, made: list[Key]) -> None:
    """Remove namespaces that we made, unless somebody has put something into them since."""
    for key in made:
        inside = f"/namespaces/{key.name}"
        for root, plural in zip(_HOLDING[::2], _HOLDING[1::2], strict=True):
            found = await cluster.listed(f"{root}{inside}/{plural}")
            if any(item["metadata"]["name"] not in _ALWAYS for item in found):
                return
        await cluster.delete(await cluster.path(key))


def _holds(live: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(
        (wanted.get(part) or {}).items() <= (live.get(part) or {}).items()
        for part in ("labels", "annotations")
    )


def _refused(key: Key, refused: Refused) -> Violation:
    return Violation(
        id="DP-NSP-002",
        title="The namespace cannot be made or labelled",
        path=str(key),
        actual=refused.message,
        expected="a namespace that is there with its labels, or an account that may make it",
        remedy="Have somebody apply it who may: `kubectl apply -f` the Namespace of the render.",
    )
