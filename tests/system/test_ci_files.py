"""The CI wrappers are sound by their own platforms' rules, and say the same in five formats."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from wrappers import FOLDER, GITHUB, REPOSITORY, WRAPPERS, command_of, commands_of, evidence_of

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
ACTIONLINT = CACHE / "mlifecycle-tests" / "bin" / "actionlint"
ZIZMOR = Path(sys.executable).with_name("zizmor")
CHECK_JSONSCHEMA = Path(sys.executable).with_name("check-jsonschema")

# Each platform's own schema, as the checker ships it. Azure's patterns are not Unicode ones.
SCHEMAS = {
    "github/deploy-model.yml": ["vendor.github-workflows"],
    "gitlab-ci.yml": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
    "config.yml": ["vendor.circle-ci"],
    "azure-pipelines.yml": ["vendor.azure-pipelines", "--regex-variant", "nonunicode"],
}
# What a careless edit would bring, and who must object.
PLANTED = {
    "an action by its tag": (ZIZMOR, r"checkout@\w+", "checkout@v6"),
    "a token left on disk": (ZIZMOR, "persist-credentials: false", "persist-credentials: true"),
    "all permissions": (ZIZMOR, r"permissions: \{\}", "permissions: write-all"),
    "an unknown key": (ACTIONLINT, "timeout-minutes", "timeout-hours"),
    "an unknown permission": (ACTIONLINT, "security-events: write", "security: write"),
}


def judge(program: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    assert program.is_file(), f"There is no {program}. Run tests/system/tools/install.sh actionlint"
    options = ["--offline", "--persona", "auditor"] if program == ZIZMOR else []
    command = [program, *options, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def texts(document: Any) -> list[str]:
    """Every text in a YAML document."""
    if isinstance(document, dict):
        return [text for value in document.values() for text in texts(value)]
    if isinstance(document, list):
        return [text for value in document for text in texts(value)]
    return [document] if isinstance(document, str) else []


@pytest.mark.parametrize("program", [ACTIONLINT, ZIZMOR], ids=lambda path: path.name)
def test_the_workflow_passes(program: Path) -> None:
    done = judge(program, GITHUB)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("defect", PLANTED)
def test_what_judges_the_workflow_sees_defects(defect: str, tmp_path: Path) -> None:
    program, pattern, replacement = PLANTED[defect]
    changed, times = re.subn(pattern, replacement, GITHUB.read_text(), count=1)
    assert times == 1
    workflow = tmp_path / "deploy-model.yml"
    workflow.write_text(changed)
    done = judge(program, workflow)
    assert done.returncode not in (0, 127), done.stdout + done.stderr


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_file_fits_its_platforms_schema(name: str, tmp_path: Path) -> None:
    document = FOLDER / name
    if name.startswith("azure"):
        # To Azure numbers and booleans are texts, and its schema says so.
        texts_only = yaml.load((FOLDER / name).read_text(), yaml.BaseLoader)  # noqa: S506  makes texts
        document = tmp_path / "azure-pipelines.json"
        document.write_text(json.dumps(texts_only))
    done = judge(CHECK_JSONSCHEMA, "--builtin-schema", *SCHEMAS[name], document)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_commands_stand_in_the_yaml_as_text(name: str) -> None:
    found = [text for text in texts(yaml.safe_load((FOLDER / name).read_text())) if "call" in text]
    assert len([text for text in found if text.startswith("dagger call ")]) == 2


@pytest.mark.parametrize("path", WRAPPERS, ids=lambda path: path.name)
def test_each_file_deploys_and_then_exports_the_evidence(path: Path) -> None:
    deploy, evidence = commands_of(path)
    assert (deploy, evidence) == (command_of(path), evidence_of(path))
    given = deploy[: deploy.index("deploy")]
    assert deploy == [*given, "deploy", "--manifest", "model-manifest.yaml"]
    exported = ["export", "--path", "evidence"]
    assert evidence == [*given, "evidence", "--manifest", "model-manifest.yaml", *exported]


def test_all_five_say_the_same() -> None:
    assert len(WRAPPERS) == 5
    assert {tuple(map(tuple, commands_of(path))) for path in WRAPPERS} == {
        tuple(map(tuple, commands_of(GITHUB)))
    }


def test_secrets_are_named_and_never_written_out() -> None:
    deploy = command_of(GITHUB)
    secrets = [deploy[deploy.index(flag) + 1] for flag in ("--catalog", "--registry-password")]
    assert secrets == ["env:MLFLOW_TRACKING_URI", "env:REGISTRY_PASSWORD"]
    for path in WRAPPERS:
        outside = path.read_text().replace("env:", "")
        assert all(secret.removeprefix("env:") in outside for secret in secrets), path.name


@pytest.mark.parametrize("path", WRAPPERS, ids=lambda path: path.name)
def test_the_command_line_is_of_the_modules_engine(path: Path) -> None:
    engine = json.loads((REPOSITORY / "dagger.json").read_text())["engineVersion"]
    (version,) = re.findall(r"DAGGER_VERSION(?::| =|\n\s+value:) '?([0-9.]+)", path.read_text())
    assert f"v{version}" == engine


@pytest.mark.parametrize("path", WRAPPERS, ids=lambda path: path.name)
def test_the_module_is_of_a_named_version(path: Path) -> None:
    modules = re.findall(r"-m (\S+)", path.read_text())
    assert modules == ["github.com/acme-bank/mlifecycle@v0.1.0"] * 2
