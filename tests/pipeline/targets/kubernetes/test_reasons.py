from __future__ import annotations

from typing import Any

import pytest

from pipeline.targets.kubernetes import reasons
from pipeline.targets.kubernetes.reasons import FOREVER


def pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "model-1"}, "status": status}


def container(restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"restartCount": restarts, "state": state}


def test_a_pod_on_its_way_is_no_trouble() -> None:
    starting = container(waiting={"reason": "ContainerCreating"})
    assert reasons.of_pod(pod(phase="Pending", containerStatuses=[starting])) is None
    assert reasons.of_pod(pod(phase="Running", containerStatuses=[container(running={})])) is None
    assert reasons.of_pod(pod()) is None


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("ErrImagePull", "its image cannot be pulled: no such thing"),
        ("ImagePullBackOff", "its image cannot be pulled: no such thing"),
        ("InvalidImageName", "its image has no valid name: no such thing"),
        (
            "CreateContainerConfigError",
            "what it is to be configured from is missing: no such thing",
        ),
        ("RunContainerError", "its container cannot be started: no such thing"),
    ],
)
def test_what_a_container_waits_for_is_said_in_words(reason: str, said: str) -> None:
    waiting = container(waiting={"reason": reason, "message": "no such thing"})
    found = reasons.of_pod(pod(containerStatuses=[waiting]))
    assert found is not None
    assert str(found) == said
    assert 0 < found.patience < FOREVER


def test_a_server_that_ends_once_may_come_back_and_one_that_does_so_again_may_not() -> None:
    state = {"terminated": {"exitCode": 3, "message": "no weights\n"}}
    once = container(1, running={}) | {"lastState": state}
    again = container(1, waiting={"reason": "CrashLoopBackOff"}) | {"lastState": state}
    first = reasons.of_pod(pod(containerStatuses=[once]))
    second = reasons.of_pod(pod(containerStatuses=[again]))
    assert first is not None
    assert second is not None
    assert first.patience == FOREVER
    assert second.patience == 0
    assert str(second) == "its server ends again and again: exit code 3, no weights"


def test_memory_is_named() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    found = reasons.of_pod(pod(containerStatuses=[container(2, running={}) | {"lastState": ended}]))
    assert found is not None
    assert "it took more memory than its limit" in str(found)


def test_a_pod_that_no_node_takes_may_still_get_one() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes: cpu"}
    (found,) = reasons.of_pods([pod(conditions=[condition])])
    assert str(found) == "pod model-1: no node takes it: 0/3 nodes: cpu"
    assert found.patience == FOREVER


def test_a_quota_is_named() -> None:
    message = 'pods "model-1" is forbidden: exceeded quota: few'
    condition = {"type": "ReplicaFailure", "status": "True", "message": message}
    found = reasons.of_deployment({"status": {"conditions": [condition]}})
    assert found is not None
    assert str(found) == f"the namespace's quota is used up: {message}"
    assert reasons.of_deployment({"status": {"conditions": []}}) is None
    assert reasons.of_deployment({}) is None
