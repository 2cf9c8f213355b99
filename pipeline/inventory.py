"""What is installed in an environment, read from the disk: the truth that an SBOM is held to."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline import digest

# What `uv venv` itself puts beside the packages.
_OWN = frozenset({"_virtualenv.py", "_virtualenv.pth"})


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed distribution. `record` is the digest of its RECORD, its list of files."""

    name: str
    version: str
    record: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """Every distribution of an environment, sorted by canonical name."""

    distributions: tuple[Distribution, ...]

    def to_bytes(self) -> bytes:
        """The inventory as the JSON that lies beside its environment."""
        return (json.dumps(self.to_json(), indent=1) + "\n").encode()

    def to_json(self) -> dict[str, Any]:
        """The document that `to_bytes` writes down."""
        listed = [
            {"name": d.name, "version": d.version, "record": d.record} for d in self.distributions
        ]
        return {"format": 1, "distributions": listed}

    @classmethod
    def from_bytes(cls, data: bytes) -> Inventory:
        """Raises ValueError for anything but the output of `to_bytes`."""
        found = cls.from_json(json.loads(data))
        if found.to_bytes() != data:
            raise ValueError("not an inventory in its canonical form")
        return found

    @classmethod
    def from_json(cls, document: Any) -> Inventory:
        """Raises ValueError for anything but what `to_json` gives."""
        try:
            found = cls(tuple(Distribution(**entry) for entry in document["distributions"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not an inventory: {error}") from error
        facts = [fact for d in found.distributions for fact in (d.name, d.version, d.record)]
        if found.to_json() != document or not all(isinstance(fact, str) for fact in facts):
            raise ValueError("not an inventory in its canonical form")
        return found

    @property
    def digest(self) -> str:
        """The digest of the JSON form."""
        return digest.of_bytes(self.to_bytes())

    @property
    def versions(self) -> dict[str, str]:
        """What is installed: canonical name to version."""
        return {d.name: d.version for d in self.distributions}


def of(environment: Path) -> Inventory:
    """The inventory of the virtual environment at `environment`."""
    found = [
        _read(info) for site in sites(environment) for info in sorted(site.glob("*.dist-info"))
    ]
    return Inventory(tuple(sorted(found, key=lambda d: (d.name, d.version))))


def _read(info: Path) -> Distribution:
    """What a `.dist-info` folder says; its own name where it says nothing."""
    record, metadata = info / "RECORD", info / "METADATA"
    said = BytesHeaderParser().parsebytes(metadata.read_bytes() if metadata.is_file() else b"")
    name, _, version = info.name.removesuffix(".dist-info").partition("-")
    return Distribution(
        canonicalize_name(said["Name"] or name),
        said["Version"] or version,
        digest.of_bytes(record.read_bytes() if record.is_file() else b""),
    )


def requirements(environment: Path) -> dict[str, list[Requirement]]:
    """What each installed distribution requires by its own metadata, by canonical name."""
    found: dict[str, list[Requirement]] = {}
    for site in sites(environment):
        for metadata in sorted(site.glob("*.dist-info/METADATA")):
            said = BytesHeaderParser().parsebytes(metadata.read_bytes())
            name = canonicalize_name(said["Name"] or metadata.parent.name.partition("-")[0])
            found[name] = [Requirement(text) for text in said.get_all("Requires-Dist", [])]
    return found


def sites(environment: Path) -> list[Path]:
    """The folders that packages are installed into."""
    return sorted(environment.glob("lib/python*/site-packages"))


def changes(environment: Path) -> list[str]:
    """How the files on disk differ from what the distributions' RECORDs list, one line each.

    Reads every file once: for gigabytes of them it takes seconds. A file that no RECORD lists is
    named too, for one `.pth` file among the packages runs code at every start.
    """
    found: list[str] = []
    for site in sites(environment):
        expected: dict[str, str | None] = {}
        for record in sorted(site.glob("*.dist-info/RECORD")):
            expected |= _entries(record)
        # Hashing leaves Python's lock alone, so threads share it out over the cores.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            compared = threads.map(
                functools.partial(_compare, site), expected.keys(), expected.values()
            )
            found += [change for change in compared if change]
        listed = {Path(site, name) for name in expected}
        found += sorted(
            f"{path.relative_to(site).as_posix()} belongs to no distribution"
            for path in site.rglob("*")
            if path not in listed
            and (path.is_symlink() or not path.is_dir())
            and not _is_own(path, site, listed)
        )
    return found


def _entries(record: Path) -> dict[str, str | None]:
    """The files of a RECORD with their digests; None for the few that have none by rule."""
    with record.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.reader(stream) if row]
    return {row[0]: (row[1] or None) if len(row) > 1 else None for row in rows}


def _compare(site: Path, name: str, expected: str | None) -> str | None:
    path = site / name
    if expected is None:
        return None
    if not path.is_file():
        return f"{name} is missing"
    if _encoded(path, expected.partition("=")[0]) != expected:
        return f"{name} was changed"
    return None


def _encoded(path: Path, algorithm: str) -> str | None:
    """The file's digest as RECORD has it; None for a file or algorithm that cannot be read."""
    try:
        with path.open("rb") as stream:
            seen = hashlib.file_digest(stream, algorithm).digest()
    except (OSError, ValueError):
        return None
    return f"{algorithm}={base64.urlsafe_b64encode(seen).rstrip(b'=').decode()}"


def _is_own(path: Path, site: Path, listed: set[Path]) -> bool:
    """Whether `path` comes with the environment, or is the compiled form of a listed source."""
    if path.parent == site and path.name in _OWN:
        return True
    if path.parent.name != "__pycache__" or path.suffix != ".pyc":
        return False
    source = path.parent.parent / (path.name.split(".")[0] + ".py")
    return source in listed or (source.parent == site and source.name in _OWN)
