"""Why pods do not get ready, in plain words: read from what the cluster says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.targets.kubernetes.objects import Document

# Seconds, for what may still mend itself: a registry that hiccups, settings that come a bit later.
SHORT = 20.0
FOREVER = float("inf")
RESTARTS = 1

_WAITING = {
    "ErrImagePull": "its image cannot be pulled",
    "ImagePullBackOff": "its image cannot be pulled",
    "ErrImageNeverPull": "its image is not on the node",
    "InvalidImageName": "its image has no valid name",
    "CreateContainerConfigError": "what it is to be configured from is missing",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be started",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a pod from getting ready, and after how many seconds it is final.

    `detail` is what the cluster says of it: of one reason, each attempt may say something else.
    """

    reason: str
    patience: float
    detail: str = ""
    pod: str = ""

    def __str__(self) -> str:
        said = f"{self.reason}: {self.detail}" if self.detail else self.reason
        return f"pod {self.pod}: {said}" if self.pod else said


def of_deployment(deployment: Mapping[str, Any]) -> Trouble | None:
    """Why no pods are made at all, such as a quota; None when they are."""
    for condition in _conditions(deployment):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = condition.get("message", "")
            quota = "exceeded quota" in message
            said = "the namespace's quota is used up" if quota else "no pod can be made"
            return Trouble(said, SHORT / 2, message)
    return None


def of_pods(pods: Iterable[Document]) -> Iterator[Trouble]:
    """What is wrong with each pod that something is wrong with."""
    for pod in pods:
        if (found := of_pod(pod)) is not None:
            yield replace(found, pod=pod["metadata"]["name"])


def of_pod(pod: Mapping[str, Any]) -> Trouble | None:
    """What keeps a pod from getting ready; None while it is on its way."""
    status = pod.get("status", {})
    for condition in _conditions(pod):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Trouble("no node takes it", FOREVER, condition.get("message", ""))
    if status.get("phase") == "Failed":
        return Trouble("it failed", SHORT, status.get("message") or status.get("reason", ""))
    for container in status.get("containerStatuses") or ():
        if (found := _of_container(container)) is not None:
            return found
    return None


def _of_container(container: Mapping[str, Any]) -> Trouble | None:
    waiting = container.get("state", {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if reason in _WAITING:
        return Trouble(_WAITING[reason], SHORT, message or reason)
    if not container.get("restartCount") and reason != "CrashLoopBackOff":
        return None
    ended = container.get("lastState", {}).get("terminated") or {}
    # Once is no habit: a node may have lacked something for a moment.
    again = container.get("restartCount", 0) >= RESTARTS
    patience = 0.0 if again and reason == "CrashLoopBackOff" else FOREVER
    return Trouble("its server ends again and again", patience, _ended(ended))


def _ended(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason") == "OOMKilled":
        return "it took more memory than its limit"
    said = (terminated.get("message") or "").strip()
    return f"exit code {terminated.get('exitCode', 'unknown')}" + (f", {said}" if said else "")


def _conditions(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(document.get("status", {}).get("conditions") or ())
