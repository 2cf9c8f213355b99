"""A release goes to a cluster, is verified there, upgraded under load, and taken back."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable

import pytest
from kubectl import kubectl
from place import NAME, Room
from steady import Load
from workplace import Workplace


@pytest.fixture(scope="module")
def whole(rooms: Callable[[], Room]) -> Room:
    """A namespace in which `mlifecycle deploy` has brought 1.2.0 and then 1.3.0 into service."""
    room = rooms()
    for version in ("1.2.0", "1.3.0"):
        done = room.deploy_whole(version)
        assert done.returncode == 0, done.stdout + done.stderr
    return room


def test_what_is_deployed_answers_through_its_service(whole: Room) -> None:
    assert whole.predict()["predictions"][0]["prediction"] == "legitimate"
    status = whole.status()
    assert (status["state"], status["version"]) == ("healthy", "1.3.0")
    assert status["pods"] == "2 of 2 ready"
    assert status["context"] == "tests"


def test_a_rollback_returns_and_the_catalog_knows_it(whole: Room) -> None:
    done = whole.run("rollback", f"{whole.namespace}/{NAME}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert whole.version() == "1.2.0"
    done = whole.run("history", f"{whole.namespace}/{NAME}", "--output", "json")
    events = json.loads(done.stdout)
    assert [(event["kind"], event["version"]) for event in events] == [
        ("rollback", "1.2.0"),
        ("deploy", "1.3.0"),
        ("deploy", "1.2.0"),
    ]
    status = whole.status()
    assert status["image"].endswith(events[0]["digests"]["image"])
    assert status["release"] == events[0]["release"]
    assert {event["context"] for event in events} == {"tests"}
    assert {event["namespace"] for event in events} == {whole.namespace}
    done = whole.run("rollback", f"{whole.namespace}/{NAME}")
    assert done.returncode == 2
    assert "There is nothing else to go back to" in done.stderr


def test_an_upgrade_under_load_loses_no_request(room: Room) -> None:
    assert room.deploy("1.2.0").returncode == 0
    with Load(room.predict) as load:
        done = room.deploy("1.3.0")
        assert done.returncode == 0, done.stdout + done.stderr
        before = load.answers
        time.sleep(1)
    assert load.failures == []
    assert load.answers > before > 0
    assert room.version() == "1.3.0"


def test_objects_that_are_no_longer_rendered_are_removed_and_only_ours(
    rooms: Callable[[], Room],
) -> None:
    room = rooms()
    scaled = {"enabled": True, "min_replicas": 1, "max_replicas": 2, "target_cpu_utilization": 70}
    assert room.deploy("1.2.0", inference={"autoscaling": scaled}).returncode == 0
    scaler = f"horizontalpodautoscaler.autoscaling/{NAME}"
    assert scaler in room.objects()
    room.kubectl("create", "configmap", "somebodys")
    room.kubectl("label", "configmap", "somebodys", "app.kubernetes.io/managed-by=mlifecycle")
    assert room.deploy("1.3.0", inference={"autoscaling": {"enabled": False}}).returncode == 0
    assert scaler not in room.objects()
    assert "configmap/somebodys" in room.objects()


def test_a_namespace_that_is_not_there_is_made(shared: Workplace) -> None:
    room = Room(shared, f"models-{secrets.token_hex(4)}")
    done = room.deploy("1.2.0", fault="wrong")
    assert done.returncode == 1
    gone = time.monotonic() + 60
    while room.namespace in kubectl("get", "namespaces", "--output", "name"):
        assert time.monotonic() < gone, "the namespace of a first deploy that failed is left"
        time.sleep(0.5)
    done = room.deploy("1.2.0")
    assert done.returncode == 0, done.stdout + done.stderr
    done = room.run("stop", f"{room.namespace}/{NAME}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert room.objects() == set()
    kubectl("delete", "namespace", room.namespace, "--wait=false")
