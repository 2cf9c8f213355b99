"""What image scanners are given besides an image: small vulnerability databases, and its bill.

The databases know the planted images' packages. They are written by the programs that
`tests/system/databases/install.sh` builds.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.tools import grype, trivy
from pipeline.tools.interface import BILL

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
PROGRAMS = CACHE / "mlifecycle-tests" / "bin"

Inputs = dict[str, Path]


def for_trivy(folder: Path, age: timedelta = timedelta()) -> Inputs:
    """A database that says it was built `age` ago."""
    _run("trivy-database", str(folder))
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["UpdatedAt"] = (datetime.now(UTC) - age).isoformat()
    (folder / "metadata.json").write_text(json.dumps(metadata))
    return {trivy.DATABASE: folder / "trivy.db", trivy.METADATA: folder / "metadata.json"}


def for_grype(folder: Path, age: timedelta = timedelta()) -> Inputs:
    """Likewise, imported by grype."""
    _run("grype-database", str(folder / "written"))
    database = folder / "written" / "vulnerability.db"
    if age:
        with sqlite3.connect(database) as connection:
            then = (datetime.now(UTC) - age).isoformat(sep=" ")
            connection.execute("UPDATE db_metadata SET build_timestamp = ?", (then,))
        connection.close()
    archive = folder / "database.tar"
    with tarfile.open(archive, "w") as made:
        made.add(database, database.name)
    imported = folder / "imported"
    environment = {"GRYPE_DB_CACHE_DIR": str(imported), "GRYPE_DB_VALIDATE_AGE": "false"}
    _run("grype", "db", "import", str(archive), HOME=str(folder), **environment)
    return {grype.DATABASE: imported}


def bill(folder: Path, image: Path) -> Inputs:
    """What syft finds in an image."""
    path = folder / BILL
    arguments = ("scan", f"docker-archive:{image}", "--output", f"cyclonedx-json={path}")
    _run("syft", *arguments, HOME=str(folder), SYFT_CHECK_FOR_APP_UPDATE="false")
    return {BILL: path}


def _run(program: str, *arguments: str, **environment: str) -> None:
    command = [str(PROGRAMS / program), *arguments]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
