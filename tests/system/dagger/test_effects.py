"""What a deploy does, it does at every call; what it works out comes from the engine's cache."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from calls import REPOSITORY, needs_our_engine, registry
from conftest import Ask, Call, Databases
from small_module import submit

NAMESPACE = "payments-risk"
# Steps that run anew: the catalog's, what is asked about its answer, and two that ask a service.
ASKING = ("pipeline.catalog", "opa eval", "pip-audit", "safety")
STEP = re.compile(r"^(\d+) +: [┆ ]*withExec (.*)$", re.MULTILINE)
CACHED = re.compile(r"^(\d+) +: [┆ ]*Container.withExec CACHED", re.MULTILINE)

pytestmark = needs_our_engine


def repository(name: str) -> str:
    return registry(f"effects/{name}")


def has(name: str, digest: str, method: str = "HEAD") -> bool:
    """Whether the registry has the image; with DELETE, whether it had it."""
    host, _, path = repository(name).partition("/")
    kind = "application/vnd.oci.image.manifest.v1+json"
    asked = urllib.request.Request(
        f"http://{host}/v2/{path}/manifests/{digest}", method=method, headers={"accept": kind}
    )
    try:
        urllib.request.urlopen(asked, timeout=60).close()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise
    return True


def history(name: str, room: Path) -> list[dict[str, Any]]:
    """A model's events, as the engine's volume has them: newest first."""
    state = Path(os.environ["MLIFECYCLE_TEST_ENGINE"]) / "state"
    found: list[dict[str, Any]] = []
    for number, database in enumerate(state.glob("worker/snapshots/snapshots/*/fs/catalog.db")):
        copy = room / str(number)
        copy.mkdir(parents=True)
        for part in database.parent.glob("catalog.db*"):
            shutil.copy(part, copy)
        program = [sys.executable, "-m", "pipeline.catalog", "--state", copy, "history"]
        done = subprocess.run(
            [*program, "--name", name, "--namespace", NAMESPACE],
            cwd=REPOSITORY,
            env={name: value for name, value in os.environ.items() if "MLFLOW" not in name},
            capture_output=True,
            text=True,
            check=True,
        )
        found += json.loads(done.stdout)["result"]
    return found


@dataclass(frozen=True)
class Deployed:
    """A submission of a name that no catalog knows, and what the deploy of it said."""

    name: str
    manifest: Path
    call: list[str]
    said: subprocess.CompletedProcess[str]

    @property
    def image(self) -> str:
        """The image's digest, as the summary tells it."""
        told = re.search(r"^ +image +(sha256:\w{64})$", self.said.stdout, re.MULTILINE)
        assert told, self.said.stdout
        return told[1]


@pytest.fixture(scope="module")
def both(
    call: Call, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> list[Deployed]:
    """Two models, deployed at once for the first time."""
    room = tmp_path_factory.mktemp("effects")

    def deploy(name: str) -> Deployed:
        manifest = submit(room / name, name=name)
        options = ["--registry", repository(name), *databases.options]
        words = [*options, "deploy", "--manifest", str(manifest)]
        return Deployed(name, manifest, words, call(*words, source=manifest.parent))

    names = [f"{word}-{secrets.token_hex(3)}" for word in ("one", "other")]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(deploy, names))


def test_two_calls_at_once_both_go_through(both: list[Deployed], tmp_path: Path) -> None:
    for each in both:
        assert each.said.returncode == 0, each.said.stderr
        assert f"deploy: yes, {NAMESPACE}/{each.name} 1.2.0" in each.said.stdout
        assert has(each.name, each.image)
        events = history(each.name, tmp_path / each.name)
        assert [event["kind"] for event in events] == ["deploy"]
        assert events[0]["digests"]["image"] == each.image


def test_a_deploy_shows_every_stage_and_where_the_image_is(both: list[Deployed]) -> None:
    first = both[0]
    stages = set(re.findall(r"^✓ ([a-z]+) ", first.said.stdout, re.MULTILINE))
    assert {"validate", "govern", "build", "scan", "sbom", "render"} < stages
    assert {"deploy", "verify", "publish", "register"} < stages
    assert f"{repository(first.name)}:1.2.0@{first.image}" in first.said.stdout
    assert "9 of 11 scanners ran" in first.said.stdout


def test_the_same_call_again_has_its_effects_again(
    call: Call, both: list[Deployed], tmp_path: Path
) -> None:
    first = both[0]
    assert has(first.name, first.image, "DELETE")
    assert not has(first.name, first.image)
    again = call(*first.call, source=first.manifest.parent)
    assert again.returncode == 0, again.stderr
    assert Deployed(first.name, first.manifest, first.call, again).image == first.image
    assert has(first.name, first.image)
    events = history(first.name, tmp_path)
    assert [event["kind"] for event in events] == ["deploy", "deploy"]
    assert len({event["run"] for event in events}) == 2
    # Nothing is built or scanned anew for it.
    cached = set(CACHED.findall(again.stderr))
    steps = dict(STEP.findall(again.stderr))
    assert len(steps) > 20
    ran = [command for number, command in steps.items() if number not in cached]
    assert not [each for each in ran if not any(word in each for word in ASKING)]


RELEASED = """
{
  mlifecycle(
    source: $folder, images: $images, registry: "%s", trivyDb: $trivy, grypeDb: $grype
  ) {
    release(manifest: $manifest) {
      passed reference digest summary
      evidence { entries record: file(path: "record.json") { contents } }
      reports: evidence { directory(path: "reports") { entries } }
      json: report(format: JSON) { contents }
    }
  }
}
"""


def test_a_release_tells_piece_by_piece_what_a_deploy_says(
    ask: Ask, both: list[Deployed], databases: Databases
) -> None:
    other = both[1]
    answer = ask(
        RELEASED % repository(other.name),
        folders={"folder": other.manifest.parent},
        files={"manifest": other.manifest} | databases.files,
    )
    release = answer["mlifecycle"]["release"]
    assert release["passed"]
    assert release["reference"] == f"{repository(other.name)}:1.2.0@{other.image}"
    assert release["digest"] in other.said.stdout
    assert "deploy: yes" in release["summary"]
    record = json.loads(release["evidence"]["record"]["contents"])
    assert record == json.loads(release["json"]["contents"])
    assert record["outcome"] == "passed"
    reports = {
        *("sbom.cdx.json", "sbom.spdx.json", "findings.json", "rendered.yaml", "provenance.json"),
        *("trivy.json", "grype.json", "mlifecycle.sarif", "junit.xml", "evidence.json"),
    }
    assert reports <= set(release["reports"]["directory"]["entries"])
