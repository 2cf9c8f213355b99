"""Where a model file comes from: beside its manifest, or any store that fsspec can read.

Whatever it is, it ends up in the state's content store under its SHA-256, computed on the way.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import anyio.to_thread

from pipeline import digest
from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.manifest import Manifest
from pipeline.state import State

SIZE_LIMIT = 2 * 1024**3  # bytes; the check of the archive holds it in memory
CHUNK = 1024 * 1024

# These read this machine's files wherever they lie, which only a path in the manifest's folder may.
LOCAL_SCHEMES = frozenset({"file", "local", "dir", "reference"})

FIELD = "spec.model.uri"
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model file in the content store. `size` is in bytes."""

    path: Path
    digest: str
    size: int


async def fetch(manifest: Manifest, state: State) -> StoredModel:
    """Bring the model of `spec.model.uri` into the store.

    Raises InvalidInput when the URI names nothing usable, EnvironmentFailed when it cannot be
    read or stored. A digest that the manifest claims is not judged here: compare it.
    """
    return await anyio.to_thread.run_sync(_fetch, manifest, state)


def _fetch(manifest: Manifest, state: State) -> StoredModel:
    uri, claim = manifest.model.spec.model.uri, manifest.model.spec.model.digest
    store = state.root / "models"
    scheme = _SCHEME.match(uri)
    if scheme is None:
        with beside(manifest, FIELD, uri) as stream:
            return _keep(manifest, store, stream)
    if claim is not None:
        # The claim names the content, so what the store already holds need not travel again.
        kept = store / claim.removeprefix("sha256:")
        if kept.is_file() and digest.of_file(kept) == claim:
            return StoredModel(kept, claim, kept.stat().st_size)
    with _remote(manifest, uri, scheme.group(1).lower()) as stream:
        return _keep(manifest, store, stream)


@contextmanager
def beside(manifest: Manifest, field: str, uri: str) -> Iterator[BinaryIO]:
    """Open the file inside the manifest's folder that `field` names; links may not lead out of it.

    Raises InvalidInput.
    """

    def refused(expected: str, remedy: str) -> InvalidInput:
        return InvalidInput([Problem(str(manifest.path), field, uri, expected, remedy)])

    path = PurePosixPath(uri)
    expected = "the path of a file inside the manifest's folder"
    if field == FIELD:
        expected += ", or scheme://…"
    if path.is_absolute() or ".." in path.parts or "\\" in uri or "\0" in uri or not path.parts:
        raise refused(expected, "Put the file beside the manifest and name it so.")
    folder = manifest.folder.resolve()
    try:
        place = (folder / path).resolve(strict=True)
        if not place.is_relative_to(folder):
            raise refused(expected, "It is a link that leads out of the folder; use a real file.")
        # Neither waits for a pipe's other end nor follows a link that was swapped in meanwhile.
        handle = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise refused(expected, f"It cannot be opened: {why}.") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise refused("a regular file", "Name the file itself.")
    with os.fdopen(handle, "rb") as stream:
        yield stream


@contextmanager
def _remote(manifest: Manifest, uri: str, scheme: str) -> Iterator[BinaryIO]:
    import fsspec  # costs 0.1 s, and most models lie beside their manifest
    from fsspec.registry import known_implementations

    if scheme in LOCAL_SCHEMES or "::" in uri:
        raise _refused(
            manifest, "https, an object store, or a path inside the manifest's folder",
            f"The scheme {scheme} can reach any file of this machine, so it is not accepted.",
        )  # fmt: skip
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        hint = known_implementations.get(scheme, {}).get("err", str(error))
        raise EnvironmentFailed(f"Models from {scheme}:// need one more package.", hint) from error
    except ValueError as error:
        raise _refused(manifest, "a scheme that fsspec knows", "Use another store.") from error
    try:
        with fsspec.open(uri, "rb") as stream:
            yield stream
    except (EnvironmentFailed, InvalidInput):
        raise
    except FileNotFoundError as error:
        raise _refused(manifest, "an existing object", "Check its name.") from error
    # Each store has its own exceptions for networks, credentials and permissions.
    except Exception as error:
        raise EnvironmentFailed(
            f"The model could not be fetched from {_shown(uri)}: {_shown(repr(error))}",
            "Check the network and this machine's credentials for that store.",
        ) from error


def _keep(manifest: Manifest, store: Path, stream: BinaryIO) -> StoredModel:
    """Copy the stream into the store; it appears there under its digest, complete, or not."""
    seen, size = hashlib.sha256(), 0
    with _storing(store):
        store.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".incoming.", dir=store)
    incoming = Path(name)
    try:
        with _storing(store), os.fdopen(handle, "wb") as sink:
            while chunk := _read(stream):
                size += len(chunk)
                if size > SIZE_LIMIT:
                    raise _refused(
                        manifest, f"a file of at most {SIZE_LIMIT} bytes", "Make it smaller."
                    )
                seen.update(chunk)
                sink.write(chunk)
            sink.flush()
            os.fsync(sink.fileno())
            incoming.chmod(0o444)
            place = incoming.replace(store / seen.hexdigest())
    finally:
        with suppress(OSError):
            incoming.unlink(missing_ok=True)
    return StoredModel(place, f"sha256:{seen.hexdigest()}", size)


def _read(stream: BinaryIO) -> bytes:
    try:
        return stream.read(CHUNK)
    # Each store has its own exceptions for networks, credentials and permissions.
    except Exception as error:
        raise EnvironmentFailed(
            f"The model could not be read to its end: {_shown(repr(error))}"
        ) from error


@contextmanager
def _storing(store: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFailed(
            f"The model could not be stored in {store}: {error.strerror or error}.",
            "Free some space, or move the state folder with --state.",
        ) from error


def _shown(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", uri)


def _refused(manifest: Manifest, expected: str, remedy: str) -> InvalidInput:
    uri = manifest.model.spec.model.uri
    problem = Problem(str(manifest.path), FIELD, _shown(uri), expected, remedy)
    return InvalidInput([problem])
