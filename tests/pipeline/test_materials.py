from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import materials
from pipeline.release_folder import Release
from pipeline.tools import syft

REPORT = Path(__file__).parent / "tools" / "reports" / "syft" / "packages.json"


@pytest.fixture
def files() -> dict[str, bytes]:
    return {k: v.encode() for k, v in json.loads(REPORT.read_text())["files"].items()}


def release(digit: str = "0") -> Release:
    facts = (
        *("manifest", "model", "program", "lock", "server", "settings", "environment"),
        "inventory",
    )
    digests = {f"{fact}_digest": f"sha256:{'a' * 64}" for fact in facts}
    return Release(
        digest=f"sha256:{digit * 64}", folder=Path("r"), name="fraud", namespace="payments",
        version="1.2.0", python="3.11", lane="torch", batching="inline", **digests,
    )  # fmt: skip


def again(files: dict[str, bytes]) -> dict[str, bytes]:
    """What syft would say another time: another serial number, time and order."""
    bom, spdx = (json.loads(files[name]) for name in (syft.CYCLONEDX, syft.SPDX))
    bom["serialNumber"], bom["metadata"]["timestamp"] = "urn:uuid:0", "2030-01-01T00:00:00Z"
    bom["components"].reverse()
    spdx["documentNamespace"] = "https://example.invalid/other"
    spdx["creationInfo"]["created"] = "2030-01-01T00:00:00Z"
    spdx["creationInfo"]["creators"].reverse()
    spdx["packages"].reverse()
    spdx["relationships"].reverse()
    return {syft.CYCLONEDX: json.dumps(bom).encode(), syft.SPDX: json.dumps(spdx).encode()}


@pytest.mark.parametrize("form", [materials.cyclonedx, materials.spdx])
def test_the_same_release_has_the_same_bill(files: dict[str, bytes], form: Any) -> None:
    first = form(syft.bill(files), release(), "fraud-model")
    assert form(syft.bill(again(files)), release(), "fraud-model") == first
    assert form(syft.bill(files), release("1"), "fraud-model") != first


def test_cyclonedx_names_the_release_the_model_and_every_package(files: dict[str, bytes]) -> None:
    document = json.loads(materials.cyclonedx(syft.bill(files), release(), "fraud-model"))
    top = document["metadata"]["component"]
    assert (top["group"], top["name"], top["version"]) == ("payments", "fraud", "1.2.0")
    assert "timestamp" not in document["metadata"]
    (model,) = [c for c in document["components"] if c["type"] == "machine-learning-model"]
    assert (model["name"], model["hashes"][0]["content"]) == ("fraud-model", "a" * 64)
    assert {c["name"] for c in document["components"]} == {
        "fraud-model", "alpha", "beta", "carrier", "inner",
    }  # fmt: skip
    references = [c["bom-ref"] for c in document["components"]]
    assert len(set(references)) == len(references)
    whole = next(d for d in document["dependencies"] if d["ref"] == top["bom-ref"])
    assert sorted(whole["dependsOn"]) == sorted(references)


def test_spdx_names_the_release_the_model_and_every_package(files: dict[str, bytes]) -> None:
    document = json.loads(materials.spdx(syft.bill(files), release(), "fraud-model"))
    assert {p["name"] for p in document["packages"]} == {
        "fraud", "fraud-model", "alpha", "beta", "carrier", "inner",
    }  # fmt: skip
    assert document["creationInfo"]["created"] == materials.EPOCH
    assert "files" not in document
    known = {"SPDXRef-DOCUMENT", *(package["SPDXID"] for package in document["packages"])}
    ends = {r[end] for r in document["relationships"] for end in r if end != "relationshipType"}
    assert ends <= known
    kinds = {
        (r["spdxElementId"], r["relationshipType"], r["relatedSpdxElement"])
        for r in document["relationships"]
    }
    assert ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Release") in kinds
    assert ("SPDXRef-Release", "CONTAINS", "SPDXRef-Model") in kinds
