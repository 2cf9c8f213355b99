"""The lock: one hash lock for the manifest's dependencies and the server's, together.

It lies beside the manifest and is committed with it. Whether it still fits is decided from its
header, without an index: `check`.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pipeline import lockfile, resources
from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.lockfile import Inputs, Lock
from pipeline.manifest import Manifest
from pipeline.program import Lane
from pipeline.runtimes.interface import Runtime, ToolNotFound
from pipeline.state import write_atomically
from pipeline.tools import uv

TORCH = "torch"
SIZE_LIMIT = 8 * 1024 * 1024  # bytes; torch with its companions is locked in 0.2 MB


class LockStatus(StrEnum):
    """Whether there is a lock, and whether it fits."""

    LOCKED = "locked"
    ABSENT = "absent"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class LockState:
    """How the lock beside a manifest stands. `differences` says what makes it stale."""

    status: LockStatus
    path: Path
    wanted: Inputs
    lock: Lock | None = None
    differences: tuple[str, ...] = ()


def path_for(manifest: Manifest, lane: Lane = Lane.TORCH) -> Path:
    """Where the manifest's lock lies: `model-manifest.yaml` has `model-manifest.lock.txt`, and
    `model-manifest.onnx.lock.txt` for the onnx lane."""
    kind = "" if lane is Lane.TORCH else f".{lane}"
    return manifest.path.with_name(f"{manifest.path.stem}{kind}.lock.txt")


def wanted(manifest: Manifest, lane: Lane = Lane.TORCH) -> Inputs:
    """What the lock is to be made from. Raises InvalidInput for what cannot be locked.

    The manifest's torch is what its model was made with. Another lane goes without it.
    """
    problems: list[Problem] = []
    requirements: set[str] = set(server_requirements(lane))
    for index, text in enumerate(manifest.model.spec.dependencies):
        path = f"spec.dependencies[{index}]"
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            problems.append(
                _problem(manifest, path, text, "a requirement such as numpy>=2", "Correct it.")
            )
            continue
        if requirement.url is not None:
            problems.append(
                _problem(
                    manifest, path, text, "a name with a version range, found in an index",
                    "Publish the package to an index and name a version of it.",
                )
            )  # fmt: skip
        if lane is Lane.TORCH or canonicalize_name(requirement.name) != TORCH:
            requirements.add(_canonical(requirement))
    if problems:
        raise InvalidInput(problems)
    return Inputs(tuple(sorted(requirements)))


def server_requirements(lane: Lane = Lane.TORCH) -> tuple[str, ...]:
    """What the inference server itself needs in a lane, in canonical form."""
    serving = resources.folder("serving")
    files = (serving / "requirements.in", serving / f"requirements-{lane}.in")
    text = "".join(file.read_text() for file in files)
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return tuple(_canonical(Requirement(line)) for line in lines if line)


def check(manifest: Manifest, lane: Lane = Lane.TORCH) -> LockState:
    """Compare the lock beside the manifest with what it has to hold. Reads, never resolves."""
    path, inputs = path_for(manifest, lane), wanted(manifest, lane)
    if not os.path.lexists(path):
        return LockState(LockStatus.ABSENT, path, inputs)
    lock = lockfile.parse(_read(path))
    differences = [
        f"line {defect.line}: {defect.message}" if defect.line else defect.message
        for defect in lock.defects
    ]
    if lock.inputs is not None:
        differences += lockfile.difference(inputs, lock.inputs)
    if not differences:
        differences += lockfile.uncovered(inputs.requirements, lock)
        differences += _superfluous(lock, lane)
    status = LockStatus.STALE if differences else LockStatus.LOCKED
    return LockState(status, path, inputs, lock, tuple(differences))


def stale(manifest: Manifest, state: LockState) -> InvalidInput:
    """The error for a committed lock that no longer fits, naming all that changed."""
    remedy = f"Run `mlifecycle lock --manifest {manifest.path}` and commit the result."
    return InvalidInput(
        [
            Problem(str(state.path), "", difference, "a lock that fits the manifest", remedy)
            for difference in state.differences
        ]
    )


@dataclass(frozen=True, slots=True)
class Written:
    """A lock that lies beside its manifest now. `packages` counts those of all platforms."""

    path: Path
    digest: str
    packages: int


async def write(
    runtime: Runtime, manifest: Manifest, lane: Lane = Lane.TORCH, *, upgrade: bool = False
) -> Written:
    """Resolve and write the lane's lock beside the manifest.

    Versions that are locked already stay where they fit, unless `upgrade` asks for the newest.
    Raises InvalidInput and EnvironmentFailed as `resolve` does.
    """
    state = check(manifest, lane)
    keep = None if upgrade or state.lock is None or not state.lock.entries else state.path
    data = await resolve(
        runtime, manifest, state.wanted, lane, previous=keep, index=additional_index()
    )
    try:
        write_atomically(state.path, data)
    except OSError as error:
        raise EnvironmentFailed(f"The lock {state.path} cannot be written: {error}.") from error
    lock = lockfile.parse(data)
    return Written(state.path, lock.digest, len(lock.entries))


async def resolve(
    runtime: Runtime,
    manifest: Manifest,
    inputs: Inputs,
    lane: Lane = Lane.TORCH,
    *,
    previous: Path | None = None,
    index: str | None = None,
) -> bytes:
    """A lock for `inputs`, verified to hold them; `index` is one beside the default.

    Raises InvalidInput when no versions fit together, EnvironmentFailed when uv cannot resolve.
    """
    with tempfile.TemporaryDirectory(prefix="mlifecycle-") as folder:
        source = Path(folder) / uv.REQUIREMENTS
        source.write_text("".join(f"{requirement}\n" for requirement in inputs.requirements))
        call = uv.compile_lock(source, python=inputs.python, previous=previous, index=index)
        try:
            outcome = await runtime.run(call)
        except ToolNotFound as error:
            raise EnvironmentFailed(str(error)) from error
    body = outcome.files.get(uv.LOCK)
    if outcome.exit_code != 0 or outcome.timed_out or not body:
        if uv.is_unsatisfiable(outcome):
            problem = _problem(
                manifest, "spec.dependencies", "", "versions that fit together and with the server",
                f"uv says: {uv.complaint(outcome)}",
            )  # fmt: skip
            raise InvalidInput([problem])
        raise EnvironmentFailed(
            f"The dependencies could not be resolved: {uv.complaint(outcome)}",
            "Check that the package index can be reached.",
        )
    data = inputs.header().encode() + body
    lock = lockfile.parse(data)
    if superfluous := _superfluous(lock, lane):
        expected = f"packages that do without {TORCH}, as the lane is {lane}"
        remedy = f"{superfluous[0]}. Leave out what needs it, or take the torch lane."
        raise InvalidInput([_problem(manifest, "spec.dependencies", "", expected, remedy)])
    wrong = [defect.message for defect in lock.defects]
    wrong += lockfile.uncovered(inputs.requirements, lock)
    if wrong:
        raise EnvironmentFailed(f"uv made a lock that cannot be used: {'; '.join(wrong)}.")
    return data


def _superfluous(lock: Lock, lane: Lane) -> list[str]:
    """That the lock holds torch where no torch may be."""
    if lane is Lane.TORCH or all(entry.name != TORCH for entry in lock.entries):
        return []
    return [f"{TORCH} is locked, and the {lane} lane has no use for it"]


def additional_index() -> str | None:
    """The index named by MLIFECYCLE_TORCH_INDEX: for torch's CPU builds, a tenth of the size.

    It is used for resolving and installing and never recorded, so that a lock names versions and
    hashes only, and whoever installs it chooses where from.
    """
    return os.environ.get("MLIFECYCLE_TORCH_INDEX") or None


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise OSError("it is not a regular file")
        with path.open("rb") as stream:
            data = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        problem = Problem(
            str(path), "", error.strerror or str(error), "a readable file", "Mend it."
        )
        raise InvalidInput([problem]) from error
    if len(data) > SIZE_LIMIT:
        problem = Problem(
            str(path), "", f"larger than {SIZE_LIMIT} bytes", "a lock", "Make it anew."
        )
        raise InvalidInput([problem])
    return data


def _canonical(requirement: Requirement) -> str:
    """The same text for the same requirement, however it was spelled."""
    canonical = Requirement(str(requirement))
    canonical.name = canonicalize_name(requirement.name)
    return str(canonical)


def _problem(manifest: Manifest, path: str, value: str, expected: str, remedy: str) -> Problem:
    return Problem(str(manifest.path), path, value, expected, remedy)
