from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from pipeline.targets.kubernetes import apply, waiting
from pipeline.targets.kubernetes.cluster import Cluster
from pipeline.targets.kubernetes.objects import Document, Key
from pipeline.targets.kubernetes.waiting import NotReady

KEY = Key("apps/v1", "Deployment", "models", "model")
REVISION = {"deployment.kubernetes.io/revision": "2"}


def deployment(generation: int, observed: int, **status: int) -> Document:
    return {
        "metadata": {
            "namespace": "models",
            "uid": "d",
            "generation": generation,
            "annotations": REVISION,
        },
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "model"}}},
        "status": {"observedGeneration": observed, **status},
    }


def owned(name: str, owner: str, **more: Any) -> Document:
    references = [{"uid": owner, "controller": True}]
    return {"metadata": {"name": name, "uid": name, "ownerReferences": references, **more}}


CRASHING = owned("crashing", "set") | {
    "status": {
        "containerStatuses": [
            {
                "restartCount": 1,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1}},
            }
        ]
    }
}


class Scripted:
    """What a cluster says of one Deployment at one look after another, and of its one pod."""

    def __init__(self, *looks: Document) -> None:
        self.looks: Iterator[Document] = iter(looks)

    async def find(self, key: Key) -> Document | None:
        assert key == KEY
        return next(self.looks)

    async def listed(self, path: str, selector: str) -> list[Document]:
        assert selector == "app=model"
        return [owned("set", "d", annotations=REVISION)] if "replicasets" in path else [CRASHING]

    async def text(self, path: str, **parameters: str) -> str:
        return "weights are missing"


def rolled_out(*looks: Document) -> Document:
    cluster = cast(Cluster, Scripted(*looks))
    return anyio.run(waiting.rolled_out, cluster, KEY, 60.0, lambda said: None)


READY = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


def test_pods_of_what_was_before_a_change_are_not_held_against_it() -> None:
    done = deployment(3, 3, **READY)
    assert rolled_out(deployment(3, 2, **READY), done) is done


def test_a_pod_that_ends_again_and_again_is_final() -> None:
    with pytest.raises(NotReady, match="its server ends again and again: exit code 1") as failure:
        rolled_out(deployment(3, 3))
    assert failure.value.log == "weights are missing"


def refused(pod: str) -> Document:
    """What a Deployment says after each attempt to make a pod, which has another name each time."""
    message = f'pods "{pod}" is forbidden: this image was withdrawn'
    condition = {"type": "ReplicaFailure", "status": "True", "message": message}
    found = deployment(3, 3)
    found["status"]["conditions"] = [condition]
    return found


def test_a_refusal_is_final_in_its_time_however_often_it_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Scripted, "listed", none_listed)
    clock = SimpleNamespace(monotonic=map(float, range(1000)).__next__)
    monkeypatch.setattr(waiting, "time", clock)
    monkeypatch.setattr(waiting, "_PAUSE", 0.0)
    looks = [refused(f"model-{number}") for number in range(40)]
    with pytest.raises(NotReady, match='no pod can be made: pods "model-10" is forbidden'):
        rolled_out(*looks)


async def none_listed(scripted: Scripted, path: str, selector: str) -> list[Document]:
    return []


def test_only_a_deployment_that_was_refused_its_pods_is_marked_to_be_tried_at_once() -> None:
    rendered: Document = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
        "name": "model", "namespace": "models", "annotations": {"owner": "risk"}}}  # fmt: skip
    service: Document = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "model"}}
    objects = [rendered, service]
    marked = anyio.run(apply.retried, cast(Cluster, Scripted(refused("model-1"))), objects)
    assert set(marked[0]["metadata"]["annotations"]) == {"owner", apply.RETRIED}
    assert marked[1:] == [service]
    assert set(rendered["metadata"]["annotations"]) == {"owner"}
    whole = anyio.run(apply.retried, cast(Cluster, Scripted(deployment(3, 3))), objects)
    assert whole == objects
