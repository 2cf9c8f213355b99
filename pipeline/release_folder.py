"""A release: a folder named by the digest of everything in it.

    release.json            the digests of all below; its own digest is the release's
    manifest.yaml  settings.json  requirements.lock.txt
    model/model.pt2 (or model.onnx: what its lane runs)  model/transform.py if it has one
    server/serving/…
    environment             a link to the shared environment that the lock was installed into

It is put together in a temporary folder and renamed, so it is there whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import digest, installation, resources
from pipeline.errors import EnvironmentFailed
from pipeline.inventory import Inventory
from pipeline.manifest import Manifest
from pipeline.program import FILES, TRANSFORM, Lane, Program
from pipeline.reference import drift_settings
from pipeline.runtimes.interface import Input

LOCK = "requirements.lock.txt"
SERVER = "server"
ENVIRONMENT = "environment"

_FACTS = (
    *("name", "namespace", "version", "manifest_digest", "model_digest", "lock_digest"),
    *("server_digest", "settings_digest", "environment_digest", "inventory_digest", "python"),
    *("lane", "program_digest", "batching"),
)
_FILES = {
    "manifest.yaml": "manifest_digest",
    "settings.json": "settings_digest",
    LOCK: "lock_digest",
}


@dataclass(frozen=True, slots=True)
class Release:
    """A release whose every file was found to be what its digest says."""

    digest: str
    folder: Path
    name: str
    namespace: str
    version: str
    manifest_digest: str
    model_digest: str
    lock_digest: str
    server_digest: str
    settings_digest: str
    environment_digest: str
    inventory_digest: str
    python: str
    lane: str
    program_digest: str
    batching: str
    transform_digest: str = ""

    @property
    def environment(self) -> Path:
        """The virtual environment, by its link in the release."""
        return self.folder / ENVIRONMENT

    @property
    def lock(self) -> Path:
        """The hash lock that the environment was installed from."""
        return self.folder / LOCK

    @property
    def server(self) -> Path:
        """The server's sources."""
        return self.folder / SERVER

    @property
    def inventory(self) -> Inventory:
        """What is installed in the environment."""
        return Inventory.from_bytes(installation.inventory_of(self.installed).read_bytes())

    @property
    def installed(self) -> Path:
        """The environment's own folder."""
        return self.environment.resolve()

    @property
    def image(self) -> Mapping[str, Input]:
        """There is none."""
        return {}

    @property
    def outputs(self) -> Mapping[str, str]:
        """Nothing besides."""
        return {}

    @classmethod
    def open(cls, folder: Path) -> Release:
        """Read a release and verify it. Raises EnvironmentFailed naming what was changed."""
        wrong: list[str] = []
        try:
            release = cls._read(folder)
            wrong += _changed(release)
        except (OSError, ValueError, KeyError, TypeError) as error:
            wrong.append(f"it cannot be read ({error})")
        if wrong:
            raise EnvironmentFailed(
                f"The release {folder} is not what it was built as: {'; '.join(wrong)}.",
                f"Remove {folder} and build it again.",
            )
        return release

    @classmethod
    def _read(cls, folder: Path) -> Release:
        data = (folder / "release.json").read_bytes()
        name = digest.of_bytes(data)
        if folder.name != name.removeprefix("sha256:"):
            raise ValueError("release.json was changed")
        facts = json.loads(data)
        if facts.pop("format") != 1:
            raise ValueError("its format is not known to this version of mlifecycle")
        # Releases of before there were any lack it.
        own = facts.get("transform_digest", "")
        known = {fact: facts[fact] for fact in _FACTS}
        return cls(digest=name, folder=folder, transform_digest=own, **known)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a release is put together from. `environment` is a finished installation."""

    manifest: Manifest
    program: Program
    lock: bytes
    environment: installation.Installation
    python: str
    batching: str

    def described(self, settings: bytes) -> bytes:
        """The release's `release.json`."""
        metadata = self.manifest.model.metadata
        facts = {
            "format": 1,
            "name": metadata.name,
            "namespace": metadata.namespace,
            "version": self.manifest.model.spec.model.version,
            "manifest_digest": self.manifest.digest,
            "model_digest": self.program.model_digest,
            "lock_digest": digest.of_bytes(self.lock),
            "server_digest": server_digest(),
            "settings_digest": digest.of_bytes(settings),
            "environment_digest": self.environment.digest,
            "inventory_digest": self.environment.inventory.digest,
            "python": self.python,
            "lane": self.program.lane,
            "program_digest": self.program.digest,
            "batching": self.batching,
            "transform_digest": self.program.transform_digest,
        }
        return _json(facts)


def assemble(parts: Parts, releases: Path) -> tuple[Release, bool]:
    """The release of these parts in the folder `releases`, and whether it was there already.

    One that is there but does not verify is put together anew. The caller holds the lock.
    Raises OSError when it cannot be written.
    """
    settings = settings_of(parts.manifest, parts.program, parts.batching)
    described = parts.described(settings)
    name = digest.of_bytes(described).removeprefix("sha256:")
    place = releases / name
    if place.exists():
        with suppress(EnvironmentFailed):
            return Release.open(place), True
    releases.mkdir(parents=True, exist_ok=True)
    for left in releases.glob(f".{name}.*"):
        shutil.rmtree(left, ignore_errors=True)
    room = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=releases))
    try:
        _write(room / "release.json", described)
        _write(room / "settings.json", settings)
        _write(room / "manifest.yaml", parts.manifest.data)
        _write(room / LOCK, parts.lock)
        for place_in, path in parts.program.files.items():
            _copy(path, room / place_in)
        for relative, source in server_files().items():
            _copy(source, room / SERVER / "serving" / relative)
        (room / ENVIRONMENT).symlink_to(_link(parts.environment.digest))
        room.chmod(0o755)
        if place.exists():
            # Out of the way first: what was tampered with must not be there while it is replaced.
            place.rename(releases / f".{name}.replaced")
        room.rename(place)
        _flush(releases)
    finally:
        for left in (room, releases / f".{name}.replaced"):
            shutil.rmtree(left, ignore_errors=True)
    return Release.open(place), False


def settings_of(manifest: Manifest, program: Program, batching: str) -> bytes:
    """`settings.json`: all that the server needs to know, and all of it that it reads.

    `batching` is `inline` or `drain`.
    """
    spec = manifest.model.spec

    def plain(value: Any) -> Any:
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)

    return _json(
        {
            "format": 1,
            "model": {
                "name": spec.model.name,
                "version": spec.model.version,
                "framework": spec.model.framework,
                "file": program.file,
                "digest": program.model_digest,
                "description": spec.model.description or "",
            },
            "lane": {"name": program.lane, "digest": program.digest},
            "batching": batching,
            "signature": plain(spec.signature),
            "golden_inputs": [plain(golden) for golden in spec.inference.golden_inputs],
            "logging": plain(spec.observability.logging),
            "metrics": plain(spec.observability.metrics),
            **_transform(program),
            **({"drift": drift} if (drift := drift_settings(manifest)) is not None else {}),
        }
    )


def _transform(program: Program) -> dict[str, Any]:
    if program.transform is None:
        return {}
    return {"transform": {"file": TRANSFORM, "digest": program.transform.digest}}


def server_files() -> dict[str, Path]:
    """The server's sources by their path within its package, without what never runs."""
    root = resources.folder("serving")
    return {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.is_file() and not _is_left_out(path.relative_to(root))
    }


def server_digest() -> str:
    """The digest of the server's sources."""
    return digest.of_json({name: digest.of_file(path) for name, path in server_files().items()})


def _is_left_out(path: Path) -> bool:
    return (
        bool({"conversion", "tests", "__pycache__"} & set(path.parts))
        or any(part.startswith(".") for part in path.parts)
        or path.name.startswith(("Dockerfile", "requirements", "test_"))
        or path.suffix in {".pyc", ".md"}
    )


def _changed(release: Release) -> Iterator[str]:
    """What of the release is not as release.json says."""
    folder = release.folder
    # Compiled files too: Python would run one in place of its source.
    seen = digest.files_of(folder, caches=True)
    files = {**_FILES, FILES[Lane(release.lane)]: "program_digest"}
    if release.transform_digest:
        files[TRANSFORM] = "transform_digest"
    for name, fact in files.items():
        if seen.pop(name, None) != getattr(release, fact):
            yield f"{name} was changed"
    seen.pop("release.json")
    root = f"{SERVER}/serving/"
    server = {n.removeprefix(root): seen.pop(n) for n in list(seen) if n.startswith(root)}
    if digest.of_json(server) != release.server_digest:
        yield "the server's sources were changed"
    link = folder / ENVIRONMENT
    target = _link(release.environment_digest)
    if seen.pop(ENVIRONMENT, None) is None or not link.is_symlink():
        yield "the link to its environment is missing"
    elif str(link.readlink()) != target:
        yield f"its environment is {link.readlink()} instead of {target}"
    else:
        yield from _environment_changed(release)
    for name in seen:
        yield f"{name} does not belong to it"


def _environment_changed(release: Release) -> Iterator[str]:
    hexadecimal = release.environment_digest.removeprefix("sha256:")
    found = installation.existing(release.folder.parents[1] / "environments" / hexadecimal)
    if found is None or found.digest != release.inventory_digest:
        yield "its environment is missing or was changed"


def _link(environment_digest: str) -> str:
    return f"../../environments/{environment_digest.removeprefix('sha256:')}"


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    path.chmod(0o444)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # The copy is the release's own: a link would let a change of the one change the other.
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, 1024 * 1024)
        write.flush()
        os.fsync(write.fileno())
    target.chmod(0o444)


def _flush(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
