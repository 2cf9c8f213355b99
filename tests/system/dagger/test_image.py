"""The image that is built: what is in it, as what it runs, under which name it is published."""

from __future__ import annotations

import json
import re
import secrets
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import anyio
import dagger
import pytest
import yaml
from calls import STOCK, needs_registry, pulled, registry, serving
from conftest import Ask, Call, Databases
from dagger import dag
from small_module import OWN

from pipeline.errors import EnvironmentFailed
from pipeline.places.containers.service import ServiceCandidate, confined
from pipeline.runtimes.containers import Upload

# The one image, asked for all that can be asked of it.
BUILT = """
{
  mlifecycle(source: $folder, images: $images) {
    build(manifest: $manifest) {
      digest release version
      container {
        user entrypoint
        envVariables { name value }
        labels { name value }
        exposedPorts { port }
      }
      cyclonedx: sbom { contents }
      spdx: sbom(format: SPDX) { contents }
      %s
    }
    render(manifest: $manifest) { contents }
  }
}
"""


@pytest.fixture(scope="module")
def answer(ask: Ask, good: Path) -> dict[str, Any]:
    query = BUILT % ("" if STOCK else f'publish(address: "{registry("small/by-build")}")')
    told = ask(query, folders={"folder": good.parent}, files={"manifest": good})
    return dict(told["mlifecycle"])


@pytest.fixture(scope="module")
def image(answer: dict[str, Any]) -> dict[str, Any]:
    return dict(answer["build"])


def values(pairs: list[dict[str, str]]) -> dict[str, str]:
    return {pair["name"]: pair["value"] for pair in pairs}


def locked() -> set[tuple[str, str]]:
    """The packages of the small module's lock."""
    text = (next(OWN.glob("*.lock.txt"))).read_text()
    return set(re.findall(r"^([a-z]\S*)==(\S+)", text, re.MULTILINE))


def test_the_image_says_which_release_it_holds(image: dict[str, Any]) -> None:
    labels = values(image["container"]["labels"])
    assert labels["org.opencontainers.image.revision"] == image["release"]
    assert labels["org.opencontainers.image.version"] == image["version"] == "1.2.0"
    variables = values(image["container"]["envVariables"])
    assert variables["MLIFECYCLE_RELEASE_DIGEST"] == image["release"]


def test_the_image_runs_the_server_as_a_number(image: dict[str, Any]) -> None:
    container = image["container"]
    assert container["user"] == "10001:10001"
    assert container["entrypoint"][0] == "/environment/bin/python"
    assert container["exposedPorts"] == [{"port": 8000}]


def test_the_bill_of_materials_names_what_is_installed(image: dict[str, Any]) -> None:
    bill = json.loads(image["cyclonedx"]["contents"])
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["specVersion"] >= "1.5"
    listed = {(part["name"], part.get("version")) for part in bill["components"]}
    assert locked() < listed
    assert all(part["type"] and part["name"] for part in bill["components"])


def test_the_bill_of_materials_is_there_as_spdx_as_well(image: dict[str, Any]) -> None:
    bill = json.loads(image["spdx"]["contents"])
    assert bill["spdxVersion"] == "SPDX-2.3"
    assert bill["SPDXID"] == "SPDXRef-DOCUMENT"
    listed = {(part["name"], part.get("versionInfo")) for part in bill["packages"]}
    assert locked() < listed
    names = [part["SPDXID"] for part in bill["packages"]]
    assert len(names) == len(set(names))


def test_the_rendered_objects_run_that_image(answer: dict[str, Any]) -> None:
    objects = list(yaml.safe_load_all(answer["render"]["contents"]))
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f"@{answer['build']['digest']}")
    assert {"Deployment", "Service"} <= {each["kind"] for each in objects}


@needs_registry
def test_it_is_published_under_the_digest_that_the_build_told(image: dict[str, Any]) -> None:
    repository = registry("small/by-build")
    assert image["publish"] == f"{repository}:1.2.0@{image['digest']}"
    published = pulled(image["publish"])
    assert published.digest == image["digest"]
    assert published.configuration["config"]["User"] == "10001:10001"


@needs_registry
def test_publish_pushes_the_same_image(
    call: Call, image: dict[str, Any], good: Path, databases: Databases
) -> None:
    there = registry("small/by-publish")
    options = ["--registry", there, *databases.options]
    done = call(*options, "publish", "--manifest", good, source=good.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{there}:1.2.0@{image['digest']}"
    assert pulled(done.stdout.strip()).digest == image["digest"]


def test_nothing_is_published_without_an_address(call: Call, good: Path) -> None:
    done = call("publish", "--manifest", good, source=good.parent)
    assert done.returncode == 1
    assert "--registry" in done.stderr.rpartition("Error: ")[2]


def test_the_archive_holds_that_image(
    call: Call, image: dict[str, Any], good: Path, tmp_path: Path
) -> None:
    target = tmp_path / "image.tar"
    done = call("build", "--manifest", good, "tarball", "-o", target, source=good.parent)
    assert done.returncode == 0, done.stderr
    with tarfile.open(target) as archive:
        index: Any = json.load(archive.extractfile("index.json"))  # type: ignore[arg-type]
        # `docker load` reads this one.
        assert archive.getmember("manifest.json").size
    assert [entry["digest"] for entry in index["manifests"]] == [image["digest"]]


def test_serve_answers_on_this_machine(small: Path, image: dict[str, Any], good: Path) -> None:
    with serving(small, "serve", "--manifest", good) as address:
        with urllib.request.urlopen(f"{address}/model/info", timeout=30) as reply:
            info = json.load(reply)
        assert info["release"] == image["release"]
        with urllib.request.urlopen(f"{address}/process", timeout=30) as reply:
            process = json.load(reply)
    assert process["status"]["Uid"].split() == ["10001"] * 4
    assert process["writable"] == ["/tmp"]  # noqa: S108


async def told_by_a_service(reference: str) -> dict[str, Any]:
    """What the server of a published image says of its process where a deploy proves it."""
    async with dagger.connection(dagger.Config(load_workspace_modules=False)):
        image = dag.container().from_(reference)
        service = await confined(image, Upload(module=False), secrets.token_hex(8))
        async with ServiceCandidate(service, module=False) as candidate:
            await candidate.ready(120)
            reply = await candidate.client.get("/process")
    told: dict[str, Any] = json.loads(reply.body)
    return told


@needs_registry
def test_a_deploy_proves_it_as_a_cluster_would_run_it(image: dict[str, Any]) -> None:
    process = anyio.run(told_by_a_service, image["publish"])
    assert "ro" in process["root"]
    assert process["writable"] == ["/tmp"]  # noqa: S108
    status = process["status"]
    assert status["Uid"].split() == status["Gid"].split() == ["10001"] * 4
    assert not status["Groups"].split()
    capabilities = {name: int(value, 16) for name, value in status.items() if name[:3] == "Cap"}
    assert capabilities == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)
    assert status["NoNewPrivs"] == "1"
    variables = process["environment"]
    assert variables["HOME"] == "/tmp"  # noqa: S108
    assert not [name for name in variables if name.startswith("DAGGER")]


async def refusal(reference: str, user: str) -> str:
    """Why a deploy would not start an image with this user."""
    async with dagger.connection(dagger.Config(load_workspace_modules=False)):
        image = dag.container().from_(reference).with_user(user)
        with pytest.raises(EnvironmentFailed) as caught:
            await confined(image, Upload(module=False), "refused")
    return str(caught.value)


@pytest.mark.parametrize("user", ["root", "0:0", "server"])
@needs_registry
def test_an_image_that_runs_as_root_or_as_a_name_is_refused(
    image: dict[str, Any], user: str
) -> None:
    said = anyio.run(refusal, image["publish"], user)
    assert "serving/Dockerfile" in said
    assert "USER" in said
