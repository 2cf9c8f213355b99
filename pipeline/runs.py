"""`runs/<id>/`: what each run did, kept while it goes on and after it ended.

`record.json` is rewritten whole at every stage. While a run goes on, its process holds the lock
on `runs/<id>/lock`; the kernel takes it away with the process, so a record without an outcome
whose lock is free tells of a run that was interrupted. Process ids tell nothing: they are reused.
"""

from __future__ import annotations

import contextlib
import fcntl
import platform
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from os import getpid
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from pipeline import __version__
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.record import Outcome, RunRecord, StageReport
from pipeline.state import State, locked, write_atomically

# The newest runs that `prune` leaves, besides those it is told to keep and those that go on.
KEPT = 50

RECORD = "record.json"
_LOCK = "lock"
_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{6}")
_REMOVED = ".removed-"


class Status(StrEnum):
    """How a run stands: its outcome, or why it has none."""

    PASSED = "passed"
    DENIED = "denied"
    FAILED = "failed"
    RUNNING = "running"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Found:
    """A run as it lies on disk."""

    folder: Path
    record: RunRecord
    status: Status


class Run:
    """The run of this process. `record` is what `record.json` holds.

    The folder's lock is held until `finish`, or until the process ends. Every method raises
    EnvironmentFailed when the record cannot be written.
    """

    def __init__(self, folder: Path, record: RunRecord, lock: IO[str]) -> None:
        self.folder = folder
        self.record = record
        self._lock = lock

    def add(self, report: StageReport) -> None:
        """Put a stage's report behind those of the stages before it."""
        self._write(stages=(*self.record.stages, report))

    def note(self, *, release: str) -> None:
        """Record the digest of the release that this run made or moved."""
        self._write(release=release)

    def finish(self, outcome: Outcome, error: str | None = None) -> None:
        """Close the record and give up the lock, also when the record cannot be written."""
        try:
            self._write(outcome=outcome, error=error, finished=datetime.now(UTC))
        finally:
            self._lock.close()

    def _write(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes)
        text = self.record.model_dump_json(indent=2) + "\n"
        with _disk(self.folder):
            write_atomically(self.folder / RECORD, text.encode())


def start(
    state: State,
    *,
    command: str,
    manifest: Path | str,
    environment: Environment,
    runtime: str,
    manifest_digest: str | None = None,
    model: str | None = None,
    version: str | None = None,
    policies: Path | None = None,
    policies_mode: str | None = None,
    versions: Mapping[str, str] | None = None,
    again: str | None = None,
) -> Run:
    """Make the folder of a new run. Ids sort by their time of start, in UTC."""
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z-{secrets.token_hex(3)}"
    folder = state.runs / name
    record = RunRecord(
        id=name,
        command=command,
        manifest=str(manifest),
        manifest_digest=manifest_digest,
        model=model,
        version=version,
        environment=environment,
        runtime=runtime,
        versions={
            "mlifecycle": __version__,
            "python": platform.python_version(),
            **(versions or {}),
        },
        policies=str(policies) if policies is not None else None,
        policies_mode=policies_mode if policies is not None else None,
        again=again,
        started=now,
        pid=getpid(),
    )
    with _disk(state.runs), _gate(state):
        folder.mkdir()
        lock = (folder / _LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = Run(folder, record, lock)
        run._write()
    return run


def load(state: State, run: str) -> Found:
    """The run of this id. Raises InvalidInput when there is none."""
    folder = state.runs / run
    found = _read(folder) if _ID.fullmatch(run) else None
    if found is None:
        raise InvalidInput(
            [
                Problem(
                    file=str(state.runs),
                    path="",
                    value=run[:80],
                    expected="the id of a run, which is the name of a folder there",
                    remedy="Take the id from `mlifecycle history` or from a run's summary.",
                )
            ]
        )
    return found


def listed(state: State) -> Iterator[Found]:
    """Every run, newest first. Raises EnvironmentFailed at a record that cannot be read."""
    for folder in _folders(state):
        if found := _read(folder):
            yield found


def latest(
    state: State, *, model: str | None = None, environment: Environment | None = None
) -> Found | None:
    """The run that started last, of one model or in one environment if these are given."""
    for found in listed(state):
        if model in (None, found.record.model) and environment in (
            None,
            found.record.environment,
        ):
            return found
    return None


def prune(state: State, keep: Collection[str]) -> list[str]:
    """Remove all but the KEPT newest runs; returns their ids, newest first.

    Never removed are those named in `keep` (the evidence of what serves: the `run` of each of
    `Catalog.in_service`), those that moved traffic, which the history names, and those that still
    go on.
    """
    removed = []
    with _disk(state.runs), _gate(state):
        for leftover in state.runs.glob(f"{_REMOVED}*"):
            shutil.rmtree(leftover)
        for folder in _folders(state)[KEPT:]:
            if folder.name in keep or _held(folder) or _moved_traffic(folder):
                continue
            # A kill in the midst of removing must not leave half a run under its name.
            shutil.rmtree(folder.rename(folder.with_name(_REMOVED + folder.name)))
            removed.append(folder.name)
    return removed


def _moved_traffic(folder: Path) -> bool:
    try:
        record = RunRecord.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):
        return False
    return record.outcome is Outcome.PASSED and record.command in ("deploy", "rollback")


def _folders(state: State) -> list[Path]:
    if not state.runs.is_dir():
        return []
    with _disk(state.runs):
        named = [path for path in state.runs.iterdir() if _ID.fullmatch(path.name)]
    return sorted(named, reverse=True)


def _read(folder: Path) -> Found | None:
    """None for a folder without a record: its run was killed before it began."""
    # The lock first: once it is free, nobody writes the record any more.
    held = _held(folder)
    path = folder / RECORD
    try:
        record = RunRecord.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValidationError, OSError) as error:
        reason = "its content is not a record" if isinstance(error, ValidationError) else error
        raise EnvironmentFailed(
            f"The record {path} cannot be read: {reason}.",
            f"Restore it, or remove the folder {folder}.",
        ) from None
    if record.outcome is not None:
        return Found(folder, record, Status(record.outcome.value))
    return Found(folder, record, Status.RUNNING if held else Status.INTERRUPTED)


def _held(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    return False


def _gate(state: State) -> contextlib.AbstractContextManager[None]:
    """Keeps a run that is just beginning from being taken for one that was killed."""
    return locked(state.runs / ".lock", wait=30)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFailed(
            f"The runs in {folder} cannot be kept: {error.strerror or error}.",
            "See that this user may write there and that the disk has room, or choose another "
            "folder with --state.",
        ) from None
