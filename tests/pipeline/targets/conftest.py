"""Small releases of a fake model behind the real server, and an end for every process."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from process_harness import FakeRelease, end_processes

import serving
from pipeline.targets.process import ProcessTarget

FAKE = Path(__file__).parent / "fake"
REAL = Path(serving.__file__).parent


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def release(tmp_path: Path) -> Callable[..., FakeRelease]:
    """Makes a release of some version that behaves as told."""

    def make(version: str, **behaviour: Any) -> FakeRelease:
        name = f"{version}-{abs(hash(json.dumps(behaviour, sort_keys=True)))}"
        folder = tmp_path / "state" / "releases" / name
        if folder.exists():
            return FakeRelease(f"sha256:{name}", folder, version)
        python = folder / "environment" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n")
        python.chmod(0o755)
        package = folder / "server" / "serving"
        shutil.copytree(REAL, package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(FAKE, package, dirs_exist_ok=True)
        (folder / "behaviour.json").write_text(json.dumps({"version": version, **behaviour}))
        return FakeRelease(f"sha256:{name}", folder, version)

    return make


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A deployment's folder; every process that works for it is ended afterwards."""
    folder = tmp_path / "state" / "deployments" / "local" / "team" / "model"
    yield folder
    end_processes(folder)


@pytest.fixture
def target(place: Path) -> ProcessTarget:
    return ProcessTarget(place)
