"""The state folder: where releases, environments, cached results, runs and deployments live.

Every write is atomic (a temporary file in the same folder, flushed, then renamed), so that a
process killed at any instant leaves either the old content or the new. Locks are the kernel's
(`flock`): they end with their holder, so a killed command never leaves one behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import digest
from pipeline.environment import Environment
from pipeline.errors import Busy


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data` so that no reader ever sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    # Not mkstemp: what lies beside a manifest is read by others too, as the umask has it.
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


@contextlib.contextmanager
def locked(
    path: Path, *, wait: float, on_wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lock file at `path`; wait up to `wait` seconds for another holder to end.

    The holder writes its pid into the file, for the message of the one who waits. Raises
    Busy when the time is up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as stream:
        deadline = time.monotonic() + wait
        told = False
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                stream.seek(0)
                holder = stream.read().strip() or "unknown"
                if time.monotonic() >= deadline:
                    raise Busy(
                        f"Another command (process {holder}) is at work on {path.parent.name}.",
                        "Wait for it to end and run the command again.",
                    ) from None
                if on_wait is not None and not told:
                    on_wait(f"waiting for process {holder}, which is at work on the same thing")
                    told = True
                time.sleep(0.1)
        stream.seek(0)
        stream.truncate()
        stream.write(str(os.getpid()))
        stream.flush()
        yield


@dataclass(frozen=True, slots=True)
class State:
    """The layout below the state folder."""

    root: Path

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def environments(self) -> Path:
        return self.root / "environments"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def deployment(self, environment: Environment, namespace: str, name: str) -> Path:
        return self.root / "deployments" / environment / namespace / name

    def cached(self, stage: str, key: dict[str, str]) -> Path:
        """Where the result of `stage` for these input digests is kept, whether it exists or not.

        By the whole digest: two manifests with one shortened name can be found in an afternoon.
        """
        return self.root / "cache" / stage / digest.of_json(key).removeprefix("sha256:")
