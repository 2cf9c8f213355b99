"""The main job as a user does it: deploy, look, change, break, roll back, stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from models import alter
from workplace import Workplace

NO_CLAIM = {"digest": None}
REUSABLE = {"govern", "build", "scan", "sbom"}


def reused(record: dict[str, Any]) -> dict[str, bool]:
    return {stage["stage"]: stage["reused"] for stage in record["stages"]}


def outputs(record: dict[str, Any]) -> dict[str, str]:
    return {k: v for stage in record["stages"] for k, v in stage["outputs"].items()}


def predict(url: str) -> dict[str, Any]:
    manifest = json.loads(urllib.request.urlopen(f"{url}/model/info", timeout=10).read())
    instance = [[0.0] * len(manifest["signature"]["inputs"])]
    request = urllib.request.Request(
        f"{url}/predict",
        json.dumps({"instances": instance}).encode(),
        {"Content-Type": "application/json"},
    )
    return dict(json.loads(urllib.request.urlopen(request, timeout=10).read()))


@pytest.fixture(scope="module")
def first(workplace: Workplace) -> dict[str, Any]:
    """The example, deployed for the first time."""
    manifest = workplace.submission("submission", model=NO_CLAIM)
    return dict(workplace.json("deploy", "--manifest", str(manifest)))


def test_a_deploy_ends_with_a_prediction(workplace: Workplace, first: dict[str, Any]) -> None:
    assert first["outcome"] == "passed"
    assert [stage["stage"] for stage in first["stages"]][-2:] == ["verify", "register"]
    done = subprocess.run(
        ["/bin/sh", "-c", outputs(first)["try"]], capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    assert answer["model_version"] == "1.2.0"
    assert set(answer["predictions"][0]) == {"prediction", "confidence", "probabilities"}
    evidence = Path(first["folder"])
    assert {"record.json", "summary.md", "reports"} <= {p.name for p in evidence.iterdir()}
    assert first["id"] in (evidence / "record.json").read_text()


def test_the_same_again_finds_every_result(workplace: Workplace, first: dict[str, Any]) -> None:
    before = workplace.status()
    # What the catalog says has changed by the first deploy itself, so govern judges once more.
    again = workplace.json("deploy", "--manifest", first["manifest"])
    assert {stage for stage, found in reused(again).items() if found} >= REUSABLE - {"govern"}
    again = workplace.json("deploy", "--manifest", first["manifest"])
    assert {stage for stage, found in reused(again).items() if found} >= REUSABLE
    assert again["release"] == first["release"]
    assert workplace.status()["pid"] == before["pid"]


def test_a_changed_model_runs_only_what_depends_on_it(
    workplace: Workplace, first: dict[str, Any]
) -> None:
    alter(workplace.root / "submission" / "fraud-detector" / "model.pt2")
    changed = workplace.json("deploy", "--manifest", first["manifest"])
    found = reused(changed)
    assert {stage for stage in REUSABLE if found[stage]} == {"govern", "scan", "sbom"}
    assert changed["release"] != first["release"]
    assert workplace.status()["release"] == changed["release"]


def test_a_version_that_answers_wrongly_leaves_the_old_one(workplace: Workplace) -> None:
    before = workplace.status()
    manifest = workplace.submission("wrong", model={**NO_CLAIM, "version": "1.3.0"})
    document = json.loads(manifest.read_text())
    document["spec"]["inference"]["golden_inputs"][0]["expected"] = {"prediction": "fraud"}
    manifest.write_text(json.dumps(document))
    record = workplace.json("deploy", "--manifest", str(manifest), exit_code=1)
    assert record["outcome"] == "denied"
    said = json.dumps(record["stages"][-1])
    assert "golden" in said
    assert "fraud" in said
    after = workplace.status()
    assert (after["release"], after["pid"]) == (before["release"], before["pid"])
    assert predict(after["url"])["model_version"] == "1.2.0"


def test_a_damaged_model_is_refused_before_anything_starts(workplace: Workplace) -> None:
    before = workplace.status()
    manifest = workplace.submission("damaged", model={**NO_CLAIM, "version": "1.3.1"})
    model = manifest.parent / "fraud-detector" / "model.pt2"
    model.write_bytes(model.read_bytes()[:-200])
    record = workplace.json("deploy", "--manifest", str(manifest), exit_code=1)
    assert [v["id"] for v in record["stages"][-1]["violations"]] == ["BLD-MOD-001"]
    assert workplace.status()["pid"] == before["pid"]


@pytest.mark.parametrize("point", ["build", "scan", "deploy", "verify"])
def test_a_killed_deploy_harms_nothing_and_is_completed(workplace: Workplace, point: str) -> None:
    before = workplace.status()
    version = f"1.4.{['build', 'scan', 'deploy', 'verify'].index(point)}"
    manifest = workplace.submission(f"killed-{point}", model={**NO_CLAIM, "version": version})
    alter(manifest.parent / "fraud-detector" / "model.pt2", 1.0002)
    command = workplace.command("deploy", "--manifest", str(manifest))
    with subprocess.Popen(
        command, cwd=workplace.root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if point in line.split()[:2]:
                break
        process.send_signal(signal.SIGKILL)
    after = workplace.status()
    assert after["state"] == "healthy"
    assert after["version"] in (before["version"], version)
    assert predict(after["url"])["model_version"] == after["version"]
    completed = workplace.json("deploy", "--manifest", str(manifest))
    assert completed["outcome"] == "passed"
    assert workplace.status()["version"] == version
    newest = workplace.json("history", "fraud-detector")[0]
    assert newest["version"] == version


def test_no_request_fails_through_twenty_changes(workplace: Workplace) -> None:
    status = workplace.status()
    versions = ["1.4.2", "1.4.3"]
    host = status["url"].removeprefix("http://")
    stop = threading.Event()
    failures: list[str] = []
    answered: list[str] = []

    def ask(keep_alive: bool) -> None:
        connection = HTTPConnection(host, timeout=60)
        body = json.dumps({"instances": [[0.0] * 9]})
        while not stop.is_set():
            try:
                connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                content = json.loads(reply.read())
                if reply.status != 200:
                    failures.append(f"{reply.status} {content}")
                else:
                    answered.append(content["model_version"])
            except (OSError, ValueError) as error:
                failures.append(repr(error))
                connection.close()
            if not keep_alive:
                connection.close()
            time.sleep(0.005)
        connection.close()

    clients = [threading.Thread(target=ask, args=(keep,)) for keep in (True, True, False, False)]
    for client in clients:
        client.start()
    try:
        for turn in range(20):
            wanted = versions[turn % 2]
            record = workplace.json("rollback", "fraud-detector", "--to", wanted)
            assert record["outcome"] == "passed"
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert failures == []
    assert set(versions) <= set(answered)


def test_the_server_comes_back_after_a_kill(workplace: Workplace) -> None:
    before = workplace.status()
    os.kill(before["pid"], signal.SIGKILL)
    after = workplace.status()
    assert after["state"] == "healthy"
    assert after["pid"] != before["pid"]
    assert after["url"] == before["url"]


def test_history_logs_and_stop(workplace: Workplace) -> None:
    events = workplace.json("history", "fraud-detector")
    assert {event["kind"] for event in events} == {"deploy", "rollback"}
    assert len({(event["run"], event["kind"]) for event in events}) == len(events)
    assert workplace.json("logs", "fraud-detector")
    assert workplace.json("stop", "fraud-detector") == {"stopped": True}
    assert workplace.status()["state"] == "stopped"
    assert workplace.json("history", "fraud-detector")[0]["kind"] == "stop"
