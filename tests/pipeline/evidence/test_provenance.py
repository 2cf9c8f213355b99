"""A provenance statement names what was built, by what, and from which materials."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dagger import dag

from pipeline.environment import Environment
from pipeline.evidence import provenance
from pipeline.inventory import Inventory
from pipeline.places.containers.release import ImageRelease, Recipe
from pipeline.record import RunRecord

AT = datetime(2026, 11, 24, tzinfo=UTC)


def named(letter: str) -> str:
    return "sha256:" + letter * 64


@pytest.fixture
def built(tmp_path: Path) -> ImageRelease:
    recipe = Recipe(
        folder=tmp_path,
        digest=named("0"),
        name="fraud-detector",
        namespace="payments-risk",
        version="1.2.0",
        manifest_digest=named("1"),
        model_digest=named("2"),
        lock_digest=named("3"),
        server_digest=named("4"),
        settings_digest=named("5"),
        environment_digest=named("6"),
        lane="torch",
        program_digest=named("2"),
        batching="drain",
        labels={},
    )
    return ImageRelease(recipe, Inventory(()), tmp_path, {}, named("7"), tmp_path, dag.container())


@pytest.fixture
def statement(built: ImageRelease) -> dict[str, Any]:
    record = RunRecord(
        id="run-1",
        command="deploy",
        manifest="model-manifest.yaml",
        environment=Environment.PROD,
        runtime="containers",
        versions={
            "mlifecycle": "0.1.0",
            "image python": f"python:3.11-slim@{named('8')}",
            "image uv": f"uv:1@{named('9')}",
            "image trivy": f"trivy:1@{named('a')}",
        },
        started=AT,
        pid=1,
    )
    found: dict[str, Any] = json.loads(provenance.statement(record, built, AT))
    return found


def test_the_subject_is_the_image_by_its_digest(statement: dict[str, Any]) -> None:
    (subject,) = statement["subject"]
    assert subject == {
        "name": "payments-risk/fraud-detector:1.2.0",
        "digest": {"sha256": "7" * 64},
    }


def test_it_is_a_slsa_provenance(statement: dict[str, Any]) -> None:
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    details = statement["predicate"]["runDetails"]
    assert details["builder"]["id"] == "urn:mlifecycle:builder:containers"
    assert details["metadata"]["invocationId"] == "run-1"


def test_every_material_has_a_digest(statement: dict[str, Any]) -> None:
    materials = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert all(len(material["digest"]["sha256"]) == 64 for material in materials)
    by_name = {material["name"]: material["digest"]["sha256"][0] for material in materials}
    assert by_name == by_name | {
        "manifest": "1",
        "model": "2",
        "lock": "3",
        "server": "4",
        "settings": "5",
        "environment": "6",
        "python": "8",
        "uv": "9",
    }


def test_images_that_only_judge_are_no_material(statement: dict[str, Any]) -> None:
    materials = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert "trivy" not in {material["name"] for material in materials}
