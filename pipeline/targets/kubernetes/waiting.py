"""Waiting for a Deployment's pods, telling how it goes, and no longer than there is hope."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio

from pipeline.targets.kubernetes import reasons
from pipeline.targets.kubernetes.cluster import Cluster, Refused
from pipeline.targets.kubernetes.objects import Document, Key
from pipeline.targets.kubernetes.reasons import Trouble

_PAUSE = 0.5
LINES = 20
# What a kubelet answers, with status 200, in the place of a log that it has removed.
_NO_LOG = "unable to retrieve container logs"


class NotReady(Exception):
    """The pods did not get ready. `log` is the end of what one of them wrote."""

    def __init__(self, reason: str, log: str = "") -> None:
        self.reason = reason
        self.log = log
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Rolled:
    """How far a Deployment has come."""

    wanted: int
    updated: int
    available: int
    total: int
    seen: bool

    @classmethod
    def of(cls, deployment: Document) -> Rolled:
        """Read from its status."""
        status: dict[str, Any] = deployment.get("status", {})
        return cls(
            wanted=deployment["spec"].get("replicas", 1),
            updated=status.get("updatedReplicas", 0),
            available=status.get("availableReplicas", 0),
            total=status.get("replicas", 0),
            seen=status.get("observedGeneration", 0) >= deployment["metadata"]["generation"],
        )

    @property
    def done(self) -> bool:
        """Whether every pod is new and ready, and no old one is left."""
        return self.seen and self.wanted == self.updated == self.available == self.total

    def __str__(self) -> str:
        old = max(0, self.total - self.updated)
        left = f", {old} old" if old else ""
        return f"{max(0, self.available - old)} of {self.wanted} new pods ready{left}"


async def rolled_out(
    cluster: Cluster, key: Key, seconds: float, tell: Callable[[str], None]
) -> Document:
    """The Deployment, once every one of its pods is new and ready.

    Raises NotReady after `seconds`, or sooner when what is wrong does not mend itself.
    """
    deadline = time.monotonic() + seconds
    first: dict[str, float] = {}
    while True:
        deployment = await cluster.find(key)
        if deployment is None:
            raise NotReady(f"{key} was deleted by somebody")
        state = Rolled.of(deployment)
        if state.done:
            return deployment
        # Until its controller has seen the change, the pods are those of what was before it.
        found = await _troubles(cluster, deployment) if state.seen else []
        tell("; ".join([str(state), *(str(each) for each in found[:3])]))
        now = time.monotonic()
        first = {each.reason: first.get(each.reason, now) for each in found}
        final = next((t for t in found if now - first[t.reason] >= t.patience), None)
        if final is not None:
            raise NotReady(str(final), await _log(cluster, key.namespace, final))
        if now >= deadline:
            why = "; ".join(str(each) for each in found) or str(state)
            log = await _log(cluster, key.namespace, found[0]) if found else ""
            raise NotReady(f"not ready within {seconds:.0f} s: {why}", log)
        await anyio.sleep(_PAUSE)


async def pods(cluster: Cluster, deployment: Document) -> list[Document]:
    """The pods of a Deployment's newest template, without those that are told to end."""
    namespace = deployment["metadata"]["namespace"]
    uid = deployment["metadata"]["uid"]
    revision = deployment["metadata"].get("annotations", {}).get(_REVISION)
    selector = ",".join(
        f"{name}={value}" for name, value in deployment["spec"]["selector"]["matchLabels"].items()
    )
    sets = [
        each["metadata"]["uid"]
        for each in await cluster.listed(
            f"/apis/apps/v1/namespaces/{namespace}/replicasets", selector
        )
        if _owner(each) == uid
        and each["metadata"].get("annotations", {}).get(_REVISION) == revision
    ]
    return [
        pod
        for pod in await cluster.listed(f"/api/v1/namespaces/{namespace}/pods", selector)
        if _owner(pod) in sets and "deletionTimestamp" not in pod["metadata"]
    ]


_REVISION = "deployment.kubernetes.io/revision"


def _owner(document: Document) -> str | None:
    owners = document["metadata"].get("ownerReferences") or ()
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)


async def _troubles(cluster: Cluster, deployment: Document) -> list[Trouble]:
    found = list(reasons.of_pods(await pods(cluster, deployment)))
    whole = reasons.of_deployment(deployment)
    return [*([whole] if whole else []), *found]


async def _log(cluster: Cluster, namespace: str, trouble: Trouble) -> str:
    """The last lines of a pod's log; if its container has just begun, of the one before."""
    if not trouble.pod:
        return ""
    path = f"/api/v1/namespaces/{namespace}/pods/{trouble.pod}/log"
    for previous in ("false", "true"):
        try:
            said = await cluster.text(path, tailLines=str(LINES), previous=previous)
        except Refused:
            continue  # a container that never ran has none
        if said.strip() and not said.startswith(_NO_LOG):
            return said.strip()
    return ""
