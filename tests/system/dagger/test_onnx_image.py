"""The second example, in the onnx lane: converted, built, scanned, served and published."""

from __future__ import annotations

import csv
import io
import json
import operator
import re
import subprocess
import tarfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pytest
import yaml
from calls import EXAMPLES, Pulled, dagger, images, needs_registry, pulled, registry, serving
from conftest import Databases

SOURCE = EXAMPLES / "valid"
MANIFEST = SOURCE / "breast-cancer-manifest.yaml"
MODEL = SOURCE / "breast-cancer"
LIMIT = 350e6  # bytes
# Left out of every image, whatever the packages' lists say.
DROPPED = ("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man", "var/cache")

pytestmark = needs_registry


@dataclass(frozen=True)
class Content:
    """The files of an image, by their path from its root, and what they come to in bytes."""

    size: int
    paths: frozenset[str]
    lists: dict[str, str] = field(repr=False)  # of Debian's packages, by the package


@pytest.fixture(scope="module")
def deployed(databases: Databases) -> subprocess.CompletedProcess[str]:
    options = ["--source", SOURCE, *images(), *databases.options]
    there = ["--registry", registry("whole/breast-cancer")]
    call = ["call", *options, *there, "deploy", "--manifest", MANIFEST]
    return dagger(EXAMPLES.parent, *call)


@pytest.fixture(scope="module")
def published(deployed: subprocess.CompletedProcess[str]) -> Pulled:
    found = re.search(r"published +(\S+@sha256:[0-9a-f]{64})", deployed.stdout)
    assert found, deployed.stdout + deployed.stderr
    return pulled(found[1])


@pytest.fixture(scope="module")
def content(published: Pulled) -> Content:
    size, paths, lists = 0, set(), {}
    for layer in published.layers():
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            for member in archive:
                path = PurePosixPath(member.name.lstrip("./"))
                paths.add(str(path))
                size += member.size if member.isfile() else 0
                if path.match("var/lib/dpkg/info/*.list"):
                    file = archive.extractfile(member)
                    assert file is not None
                    lists[path.stem] = file.read().decode()
    return Content(size, frozenset(paths), lists)


def test_it_is_deployed(deployed: subprocess.CompletedProcess[str]) -> None:
    assert deployed.returncode == 0, deployed.stderr
    assert "✓ deploy: yes, diagnostics/breast-cancer 1.0.0" in deployed.stdout
    assert "4 golden inputs answered rightly" in deployed.stdout


def test_the_scanners_of_images_looked_at_it(deployed: subprocess.CompletedProcess[str]) -> None:
    found = re.search(r"scanners ran \(not run: ([^)]*)\)", deployed.stdout)
    assert found, deployed.stdout
    assert not {"trivy", "grype", "dockle"} & set(found[1].split(", "))


def test_its_labels_say_what_decided_lane_and_batches(published: Pulled) -> None:
    labels = published.configuration["config"]["Labels"]
    assert labels["io.mlifecycle.lane"].startswith("onnx: differs from torch by at most ")
    assert "200 held-out rows" in labels["io.mlifecycle.lane"]
    assert re.match(r"(drain|inline): a row alone takes ", labels["io.mlifecycle.batching"])


def test_it_has_no_torch_and_is_small(content: Content) -> None:
    packages = {path.split("/")[4] for path in content.paths if path.count("site-packages/")}
    assert "onnxruntime" in packages
    assert "torch" not in packages
    assert content.size <= LIMIT


def test_what_its_system_lists_is_there(content: Content) -> None:
    """What was taken out of the base was taken out of its list as well."""
    assert "bash" in content.lists
    assert not [name for name in content.lists if name.startswith(("perl", "apt", "python3-pip"))]
    absent = [
        path
        for text in content.lists.values()
        for line in text.splitlines()
        if (path := line.strip("/."))
        and not path.startswith(DROPPED)
        # The standard library's own tests, and a file that the tests' base image goes without.
        and "/python3.11/test/" not in path
        and not path.endswith("/EXTERNALLY-MANAGED")
        # Debian's /bin, /lib and /sbin are links into /usr.
        and not {path, f"usr/{path}"} & content.paths
    ]
    assert "\n".join(absent) == ""


def test_it_classifies_the_held_out_rows(published: Pulled) -> None:
    with (MODEL / "holdout.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = [row["label"] for row in rows]
    signature = yaml.safe_load(MANIFEST.read_text())["spec"]["signature"]
    names = [feature["name"] for feature in signature["inputs"]]
    instances = [{name: float(row[name]) for name in names} for row in rows]
    call = ["--source", SOURCE, "serve", "--manifest", MANIFEST]
    with serving(EXAMPLES.parent, *call) as address:
        with urllib.request.urlopen(f"{address}/model/info", timeout=30) as reply:
            info = json.load(reply)
        request = urllib.request.Request(
            f"{address}/predict",
            data=json.dumps({"instances": instances}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            answer = json.load(reply)
    assert info["lane"] == "onnx"
    told = [each["prediction"] for each in answer["predictions"]]
    right = sum(map(operator.eq, told, labels))
    # The manifest claims more; here it is enough that it is no other model, and no other order.
    assert right >= 0.9 * len(labels)
