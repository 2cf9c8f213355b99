"""Every stage and every tool that both places have says the same on a machine as in containers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import small_module
from calls import EXAMPLES, images

TOOLS = Path(os.environ.get("MLIFECYCLE_TEST_TOOLS", "/nowhere"))
# What only an image has to be read by.
OF_IMAGES = {"trivy", "grype", "dockle"}
# A key that no service has given out, in the form of one that did.
PLANTED = (
    'AWS = "AKIA' + 'Z7VRSQ5TJN2XMPLD"\nimport subprocess\nsubprocess.call("ls", shell=True)\n'
)

Record = dict[str, Any]


@pytest.fixture(scope="module")
def records(
    small: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Record, Path]]:
    """What `scan` and `sbom` came to in each place, of a submission with planted defects."""
    folder = tmp_path_factory.mktemp("places") / "models"
    manifest = small_module.submit(folder)
    (folder / "prepare.py").write_text(PLANTED)
    found = {}
    for place in ("host", "dagger"):
        for goal in ("scan", "sbom"):
            state = tmp_path_factory.mktemp(f"{place}-{goal}")
            found[f"{place} {goal}"] = run(small, place, goal, manifest, state)
    return found


def run(module: Path, place: str, goal: str, manifest: Path, state: Path) -> tuple[Record, Path]:
    options = images() if place == "dagger" else []
    command = ["-m", "pipeline", goal, "--runtime", place, "--manifest", manifest, *options]
    done = subprocess.run(
        [sys.executable, *map(str, command), "--state", str(state), "--output", "json"],
        cwd=manifest.parent,
        env=os.environ | {"PYTHONPATH": str(module), "MLIFECYCLE_TOOLS": str(TOOLS)},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    record: Record = json.loads(done.stdout)
    return record, Path(record["folder"])


def stage(record: Record, name: str) -> Record:
    (found,) = (each for each in record["stages"] if each["stage"] == name)
    return dict(found)


def test_the_policies_say_the_same_of_the_manifest(records: dict[str, tuple[Record, Path]]) -> None:
    said = [stage(records[f"{place} scan"][0], "govern") for place in ("host", "dagger")]
    for field in ("outcome", "inputs", "violations"):
        assert said[0][field] == said[1][field]


def test_every_tool_of_sources_finds_the_same(records: dict[str, tuple[Record, Path]]) -> None:
    by_place = []
    for place in ("host", "dagger"):
        tools = stage(records[f"{place} scan"][0], "scan")["tools"]
        by_place.append(
            {
                tool["tool"]: (tool["version"], tool["status"], tool["audited"], tool["findings"])
                for tool in tools
                if tool["tool"] not in OF_IMAGES
            }
        )
    host, containers = by_place
    assert host.keys() == containers.keys()
    assert {"hadolint", "bandit", "semgrep", "detect-secrets", "gitleaks", "trivy-files"} <= {
        name for name, (_, status, _, _) in containers.items() if status == "ran"
    }
    assert {name for name, (*_, findings) in containers.items() if findings} >= {
        "bandit",
        "gitleaks",
    }
    for name, said in host.items():
        assert said == containers[name], name


def test_only_containers_have_an_image_to_scan(records: dict[str, tuple[Record, Path]]) -> None:
    tools = {
        place: {tool["tool"] for tool in stage(records[f"{place} scan"][0], "scan")["tools"]}
        for place in ("host", "dagger")
    }
    assert tools["dagger"] - tools["host"] == OF_IMAGES


def test_the_same_python_packages_are_listed(records: dict[str, tuple[Record, Path]]) -> None:
    listed = []
    for place in ("host", "dagger"):
        record, folder = records[f"{place} sbom"]
        assert stage(record, "sbom")["violations"] == []
        bill = json.loads((folder / "reports" / "sbom.cdx.json").read_text())
        purls = {str(each.get("purl", "")) for each in bill["components"]}
        listed.append({purl for purl in purls if purl.startswith("pkg:pypi/")})
    assert listed[0] == listed[1] != set()


def test_a_denied_manifest_is_denied_alike(small: Path, tmp_path: Path) -> None:
    manifest = EXAMPLES / "invalid" / "MG-ACC-001.yaml"
    said = [
        stage(run(small, place, "govern", manifest, tmp_path / place)[0], "govern")
        for place in ("host", "dagger")
    ]
    assert said[0]["violations"] == said[1]["violations"] != []
