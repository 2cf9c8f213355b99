from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
import small_module
from calls import CLI, dagger, images

sys.path.append(str(Path(__file__).parents[2] / "pipeline" / "tools"))

import image_inputs

TRIVY, GRYPE = Path("db.tar.gz"), Path("grype/database.tar")
LIMIT = 900  # seconds, for the small module
ABSENT = 'No engine is named. Run this first: eval "$(tests/system/engine/up.sh)"'


class Call(Protocol):
    """`dagger call` in the small module; `variables` are the environment's."""

    def __call__(
        self,
        *arguments: str | Path,
        source: Path | None = None,
        module: Path | None = None,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]: ...


class Ask(Protocol):
    """A query of the small module; see `asking.py`. `$images` is there for every query."""

    def __call__(
        self,
        query: str,
        *,
        module: Path | None = None,
        folders: Mapping[str, Path] | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> Any: ...


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    if CLI not in os.environ:
        pytest.fail(ABSENT, pytrace=False)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small module's folder."""
    return small_module.make(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def good(small: Path) -> Path:
    """The manifest of the submission that comes with the small module."""
    return small / small_module.GOOD


@pytest.fixture(scope="session")
def call(small: Path) -> Call:
    def call(
        *arguments: str | Path,
        source: Path | None = None,
        module: Path | None = None,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        options = [*images(), *(["--source", source] if source else [])]
        return dagger(module or small, "call", *options, *arguments, limit=LIMIT, **variables)

    return call


@pytest.fixture(scope="session")
def ask(small: Path) -> Ask:
    def ask(
        query: str,
        *,
        module: Path | None = None,
        folders: Mapping[str, Path] | None = None,
        files: Mapping[str, Path] | None = None,
    ) -> Any:
        question = {
            "module": str(module or small),
            "query": query,
            "folders": {name: str(path) for name, path in (folders or {}).items()},
            "files": {name: str(path) for name, path in (files or {}).items()},
        }
        ours = images()
        question["files"] |= {"images": ours[1]} if ours else {}
        program = Path(__file__).with_name("asking.py")
        asked = json.dumps(question)
        done = dagger(small, "run", sys.executable, program, stdin=asked, limit=LIMIT)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    return ask


@dataclass(frozen=True)
class Databases:
    """Small vulnerability databases as the module takes them, and the options that give them."""

    trivy: Path
    grype: Path

    @property
    def files(self) -> dict[str, Path]:
        """As a query names them: `trivyDb: $trivy, grypeDb: $grype`."""
        return {"trivy": self.trivy, "grype": self.grype}

    @property
    def options(self) -> list[str]:
        return ["--trivy-db", str(self.trivy), "--grype-db", str(self.grype)]


def made(folder: Path, age: timedelta = timedelta()) -> Databases:
    """Databases that were built `age` ago, in the archives that their makers publish."""
    absent = [
        name
        for name in ("trivy-database", "grype-database", "grype")
        if not (image_inputs.PROGRAMS / name).is_file()
    ]
    if absent:
        pytest.fail(
            f"There is no {', '.join(absent)} in {image_inputs.PROGRAMS}. Run "
            "tests/system/databases/install.sh and tests/system/tools/install.sh grype.",
            pytrace=False,
        )
    image_inputs.for_grype(folder / "grype", age)
    trivy = image_inputs.for_trivy(folder / "trivy", age)
    with tarfile.open(folder / TRIVY, "w:gz") as archive:
        for path in trivy.values():
            archive.add(path, path.name)
    return Databases(folder / TRIVY, folder / GRYPE)


@pytest.fixture(scope="session")
def databases() -> Databases:
    """Of today. Without any, every scan would try to fetch the public ones.

    They are kept for the day: with the same ones, the same image's scan comes from the cache.
    """
    kept = image_inputs.PROGRAMS.parent / "databases"
    kept.mkdir(parents=True, exist_ok=True)
    today = kept / f"{datetime.now(UTC):%Y-%m-%d}"
    # Other workers ask for the same ones at the same time.
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not today.exists():
            for former in kept.glob("20*"):
                shutil.rmtree(former)
            with tempfile.TemporaryDirectory(dir=kept) as room:
                made(Path(room) / "made")
                (Path(room) / "made").rename(today)
    return Databases(today / TRIVY, today / GRYPE)
