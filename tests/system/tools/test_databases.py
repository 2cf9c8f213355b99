"""The databases that the tests make are read by the real Trivy and Grype."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
PROGRAMS = CACHE / "mlifecycle-tests/bin"
NEEDED = ("trivy", "grype", "trivy-database", "grype-database")

pytestmark = pytest.mark.skipif(
    not all((PROGRAMS / name).exists() for name in NEEDED),
    reason=f"they are built by tests/system/tools/install.sh {' '.join(NEEDED)}",
)


def run(*command: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = map(str, command)
    variables = {"HOME": str(home), "PATH": os.environ["PATH"], "GRYPE_DB_CACHE_DIR": str(home)}
    return subprocess.run(
        [str(PROGRAMS / program), *arguments],
        env=variables | {"GRYPE_DB_AUTO_UPDATE": "false", "GRYPE_CHECK_FOR_APP_UPDATE": "false"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def make(kind: str, folder: Path, *, age: timedelta = timedelta()) -> Path:
    built = (datetime.now(UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    done = run(f"{kind}-database", HERE / "advisories.json", folder, built, home=folder)
    assert done.returncode == 0, done.stderr
    return folder


def packages(root: Path, name: str, version: str) -> Path:
    """A folder in which one Python package is installed."""
    metadata = root / f"lib/python3.11/site-packages/{name}-{version}.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return root


def trivy(database: Path, root: Path) -> list[str]:
    cache = database.parent / "cache"
    (cache / "db").parent.mkdir()
    (cache / "db").symlink_to(database)
    options = "--cache-dir", cache, "--skip-db-update", "--offline-scan", "--skip-version-check"
    done = run(
        "trivy", "rootfs", *options, "--scanners", "vuln", "--format", "json", root, home=cache
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout).get("Results", [])
    return [each["VulnerabilityID"] for one in results for each in one.get("Vulnerabilities", [])]


def imported(database: Path, home: Path) -> Path:
    archive = database / "database.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(database / "vulnerability.db", "vulnerability.db")
    done = run("grype", "db", "import", archive, home=home)
    assert done.returncode == 0, done.stderr
    return home


def grype(home: Path, root: Path) -> list[str]:
    done = run("grype", f"dir:{root}", "--output", "json", home=home)
    assert done.returncode == 0, done.stderr
    return [each["vulnerability"]["id"] for each in json.loads(done.stdout)["matches"]]


@pytest.mark.parametrize(("version", "found"), [("2.10", ["CVE-2019-10906"]), ("2.10.1", [])])
def test_trivy_finds_what_is_affected(tmp_path: Path, version: str, found: list[str]) -> None:
    database = make("trivy", tmp_path / "database")
    assert trivy(database, packages(tmp_path / "root", "Jinja2", version)) == found


@pytest.mark.parametrize(("version", "found"), [("2.10", ["GHSA-462w-v97r-4m45"]), ("2.10.1", [])])
def test_grype_finds_what_is_affected(tmp_path: Path, version: str, found: list[str]) -> None:
    home = imported(make("grype", tmp_path / "database"), tmp_path / "home")
    assert grype(home, packages(tmp_path / "root", "Jinja2", version)) == found


def test_grype_refuses_an_old_database(tmp_path: Path) -> None:
    home = imported(make("grype", tmp_path / "database", age=timedelta(days=6)), tmp_path / "home")
    done = run("grype", f"dir:{packages(tmp_path / 'root', 'Jinja2', '2.10')}", home=home)
    assert done.returncode == 1
    assert "the vulnerability database was built 6 days ago" in done.stderr
