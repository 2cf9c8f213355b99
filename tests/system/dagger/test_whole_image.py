"""The example itself, with torch: built, scanned, listed, proved and published once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from calls import EXAMPLES, dagger, images, needs_registry, registry

MANIFEST = EXAMPLES / "valid" / "model-manifest.yaml"

pytestmark = needs_registry


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    address = registry("whole/fraud-detector")
    return dagger(
        EXAMPLES.parent, "call", *images(), "--registry", address, "deploy", "--manifest", MANIFEST
    )


@pytest.fixture(scope="module")
def evidence(
    deployed: subprocess.CompletedProcess[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("evidence")
    address = registry("whole/fraud-detector")
    arguments = ["--registry", address, "evidence", "--manifest", MANIFEST, "-o", folder]
    done = dagger(EXAMPLES.parent, "call", *images(), *arguments)
    assert done.returncode == 0, done.stderr
    return folder


def test_it_is_deployed(deployed: subprocess.CompletedProcess[str]) -> None:
    assert deployed.returncode == 0, deployed.stderr
    assert "✓ deploy: yes, payments-risk/fraud-detector 1.2.0" in deployed.stdout
    assert "4 golden inputs answered rightly" in deployed.stdout
    assert f"{registry('whole/fraud-detector')}:1.2.0@sha256:" in deployed.stdout


def test_what_was_scanned_is_what_was_published(
    deployed: subprocess.CompletedProcess[str], evidence: Path
) -> None:
    record: dict[str, Any] = json.loads((evidence / "record.json").read_text())
    (build,) = (stage for stage in record["stages"] if stage["stage"] == "build")
    image = build["outputs"]["image"]
    assert f":1.2.0@{image}" in deployed.stdout
    statement = json.loads((evidence / "reports" / "provenance.json").read_text())
    assert statement["subject"][0]["digest"]["sha256"] == image.removeprefix("sha256:")
    assert image in (evidence / "reports" / "rendered.yaml").read_text()


def test_its_bill_of_materials_lists_torch_and_the_distribution(evidence: Path) -> None:
    bill = json.loads((evidence / "reports" / "sbom.cdx.json").read_text())
    purls = [str(each.get("purl", "")) for each in bill["components"]]
    assert any(purl.startswith("pkg:pypi/torch@") for purl in purls)
    assert any(purl.startswith("pkg:deb/") for purl in purls)
    assert (evidence / "reports" / "sbom.spdx.json").is_file()
