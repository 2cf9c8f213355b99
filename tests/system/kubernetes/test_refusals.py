"""What a cluster does not take: images, pods and objects that it refuses, and what others hold."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kubectl import kubectl
from place import BRING, NAME, Room
from test_faults import still_serves

LIMIT = 60.0  # seconds, for the API server to act by a new policy


def bring(room: Room, image: str, version: str) -> subprocess.CompletedProcess[str]:
    """Bring an image that is not the submission's own."""
    manifest = room.manifest(version)
    command = [sys.executable, str(BRING), str(manifest), image, str(room.workplace.state)]
    return subprocess.run(
        command, env=room.environment, capture_output=True, text=True, timeout=600
    )


@contextmanager
def refusing(room: Room, resource: tuple[str, str], rule: str, message: str) -> Iterator[None]:
    """A policy of the cluster's own: in this namespace, what breaks the CEL rule is refused."""
    name = f"tests-{secrets.token_hex(4)}"
    group, plural = resource
    version = "admissionregistration.k8s.io/v1"
    places = {"matchLabels": {"kubernetes.io/metadata.name": room.namespace}}
    what = {"apiGroups": [group], "apiVersions": ["v1"], "resources": [plural]}
    policy = {
        "apiVersion": version,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [{**what, "operations": ["CREATE", "UPDATE"]}],
            },
            "validations": [{"expression": rule, "message": message}],
        },
    }
    binding = {
        "apiVersion": version,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": places},
        },
    }
    for document in (policy, binding):
        kubectl("apply", "--filename", "-", given=document)
    try:
        yield
    finally:
        kubectl("delete", "validatingadmissionpolicybinding", name)
        kubectl("delete", "validatingadmissionpolicy", name)


def until_refused(room: Room, document: dict[str, Any], refused: bool = True) -> None:
    """Wait until a policy that was just made, or else taken away, is acted by."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        done = subprocess.run(
            ["kubectl", "create", "--dry-run=server", "--namespace", room.namespace, "-f", "-"],
            input=json.dumps(document), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        if ("denied request" in done.stderr) is refused:
            return
        time.sleep(0.5)
    pytest.fail(f"the policy is not acted by: {done.stdout}{done.stderr}")


def pod(image: str) -> dict[str, Any]:
    """One that the namespace's security standard lets in."""
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "probe", "image": image, "securityContext": restricted}
    spec = {"containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": spec}


def test_an_image_that_cannot_be_pulled_is_taken_back(serving: Room) -> None:
    image = serving.image(serving.manifest("1.3.0"))
    absent = image.rpartition(":")[0] + ":" + "0" * 64
    done = bring(serving, absent, "1.3.0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "DP-RDY-001" in done.stdout
    assert "its image cannot be pulled" in done.stdout
    # What the registry said, and not only that there was something.
    assert "code = NotFound" in done.stderr
    still_serves(serving)


def test_a_pod_that_no_node_has_room_for_is_waited_for_and_taken_back(serving: Room) -> None:
    resources = {
        "requests": {"cpu": "900", "memory": "48Mi"},
        "limits": {"cpu": "900", "memory": "96Mi"},
    }
    done = serving.deploy("1.3.0", "--timeout", "15", inference={"resources": resources})
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no node takes it: 0/1 nodes are available: 1 Insufficient cpu" in done.stderr
    assert "not ready within 15 s: pod" in done.stdout
    still_serves(serving)


def test_a_quota_that_is_used_up_takes_a_new_version_back(room: Room) -> None:
    first = room.deploy("1.2.0")
    assert first.returncode == 0, first.stdout + first.stderr
    # The autoscaler wants two, and brings the second one a moment later.
    room.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=120s")
    pods = 2
    deadline = time.monotonic() + LIMIT
    while len(room.kubectl("get", "pods", "--output", "name").split()) != pods:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "tight"},
        "spec": {"hard": {"pods": str(pods)}},
    }
    room.kubectl("apply", "--filename", "-", given=quota)
    done = room.deploy("1.3.0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the namespace's quota is used up" in done.stdout
    assert f"limited: pods={pods}" in done.stdout
    still_serves(room)


def test_every_object_that_a_policy_of_the_cluster_refuses_is_named(room: Room) -> None:
    first = room.deploy("1.2.0")
    assert first.returncode == 0, first.stdout + first.stderr
    before = json.loads(room.kubectl("get", "deployment", NAME, "--output", "json"))
    said = "deployments of this namespace need an owner"
    rule = "has(object.metadata.annotations) && 'example.com/owner' in object.metadata.annotations"
    bare = {**before, "metadata": {"name": "probe"}}
    del bare["status"]
    with refusing(room, ("apps", "deployments"), rule, said):
        until_refused(room, bare)
        done = room.deploy("1.3.0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "DP-APL-001" in done.stdout
    assert said in done.stdout
    assert f"Deployment {NAME}" in done.stdout
    after = json.loads(room.kubectl("get", "deployment", NAME, "--output", "json"))
    assert after["spec"] == before["spec"]
    still_serves(room)


def test_a_field_that_somebody_else_has_set_is_theirs_unless_it_is_forced(room: Room) -> None:
    first = room.deploy("1.2.0")
    assert first.returncode == 0, first.stdout + first.stderr
    # Of another submission, by hand: it works, and nobody here knows it.
    theirs = room.image(room.manifest("1.2.1"))
    room.kubectl("set", "image", f"deployment/{NAME}", f"server={theirs}")
    room.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout=120s")
    told = room.status()
    assert told["state"] != "healthy"
    assert theirs.rpartition("@")[2] in json.dumps(told)
    done = room.deploy("1.3.0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "DP-APL-002" in done.stdout
    assert "kubectl-set" in done.stdout
    assert "image" in done.stdout
    assert room.version() == "1.2.1"
    forced = room.deploy("1.3.0", "--force-conflicts")
    assert forced.returncode == 0, forced.stdout + forced.stderr
    still_serves(room, "1.3.0")


def test_an_object_that_is_not_ours_is_left_alone(room: Room) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"ports": [{"port": 5432}], "selector": {"app": "database"}},
    }
    room.kubectl("apply", "--filename", "-", given=theirs)
    before = room.objects()
    done = room.deploy("1.2.0")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "DP-APL-003" in done.stdout
    assert "a Service that is not ours" in done.stdout
    assert room.objects() == before
    service = json.loads(room.kubectl("get", "service", NAME, "--output", "json"))
    assert service["spec"]["selector"] == {"app": "database"}
    assert room.status() == {}


def test_a_kind_that_the_cluster_does_not_know_is_a_no_unless_it_may_lack_it(room: Room) -> None:
    """There is no Prometheus operator in it."""
    done = room.deploy("1.2.0", "--lacking-nothing")
    assert done.returncode == 1, done.stdout + done.stderr
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert f"no {kind} of monitoring.coreos.com/v1" in done.stdout
    assert "deny DP-KND-001" in done.stdout
    assert room.objects() == set()
    done = room.deploy("1.2.0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warn DP-KND-001" in done.stdout
    still_serves(room)


def test_what_served_and_does_not_come_back_is_said(room: Room) -> None:
    first = room.deploy("1.2.0")
    assert first.returncode == 0, first.stdout + first.stderr
    deployment = json.loads(room.kubectl("get", "deployment", NAME, "--output", "json"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    rule = f"object.spec.containers.all(c, c.image != '{container['image']}')"
    with refusing(room, ("", "pods"), rule, "this image was withdrawn"):
        until_refused(room, pod(container["image"]))
        done = room.deploy("1.3.0", fault="wrong")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "A golden input is predicted wrongly" in done.stdout
        assert "what served before does not come back: " in done.stderr
        assert "denied request" in done.stderr
        assert room.status()["state"] == "unfinished"
    until_refused(room, pod(container["image"]), refused=False)
    # The next one puts right what this one could not, also where the cluster itself would wait
    # with its next attempt: after twenty seconds of refusals, for twenty more.
    mended = room.deploy("1.4.0")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    still_serves(room, "1.4.0")
