"""Calls of Dagger functions on the engine that `tests/system/engine/up.sh` names."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = REPOSITORY / "examples"
# Minutes of it are the first build, with torch's several gigabytes.
LIMIT = 3600  # seconds

CLI = "_EXPERIMENTAL_DAGGER_CLI_BIN"
# An engine that `up.sh` found and did not make. Without any, every test fails (`conftest.py`).
STOCK = CLI in os.environ and "MLIFECYCLE_TEST_ENGINE" not in os.environ
needs_registry = pytest.mark.skipif(STOCK, reason="a stock engine comes without a registry")
needs_our_engine = pytest.mark.skipif(STOCK, reason="a stock engine is not ours to look into")


def images() -> list[str]:
    """The option that names the tests' own images; none on a stock engine."""
    file = os.environ.get("MLIFECYCLE_TEST_IMAGES")
    return ["--images", file] if file else []


def registry(name: str) -> str:
    """A repository in the tests' registry."""
    return f"{os.environ['MLIFECYCLE_TEST_REGISTRY']}/{name}"


def dagger(
    folder: Path, *arguments: str | Path, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder, with these variables besides."""
    return subprocess.run(
        [os.environ[CLI], *map(str, arguments)],
        cwd=folder,
        input=stdin,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def message(done: subprocess.CompletedProcess[str]) -> str:
    """What a call that failed says at its end."""
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr.rpartition("\nError: ")[2]


def model_repository(folder: Path, manifest: Path) -> Path:
    """A repository as a data scientist has it: `model-manifest.yaml` and what lies beside it."""
    shutil.copytree(EXAMPLES / "valid" / "fraud-detector", folder / "fraud-detector")
    shutil.copy(EXAMPLES / "valid" / "model-manifest.lock.txt", folder)
    shutil.copy(manifest, folder / "model-manifest.yaml")
    make = ["git", "init", "--quiet", str(folder)]
    subprocess.run(make, check=True)
    return folder
