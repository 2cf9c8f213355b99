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
from pipeline.runtimes.interface import Runtime, ToolNotFound
from pipeline.state import write_atomically
from pipeline.tools import uv

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


def path_for(manifest: Manifest) -> Path:
    """Where the manifest's lock lies: `model-manifest.yaml` has `model-manifest.lock.txt`."""
    return manifest.path.with_name(manifest.path.stem + ".lock.txt")


def wanted(manifest: Manifest) -> Inputs:
    """What the lock is to be made from. Raises InvalidInput for what cannot be locked."""
    problems: list[Problem] = []
    requirements: set[str] = set(server_requirements())
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
        requirements.add(_canonical(requirement))
    if problems:
        raise InvalidInput(problems)
    return Inputs(tuple(sorted(requirements)))


def server_requirements() -> tuple[str, ...]:
    """What the inference server itself needs, in canonical form."""
    text = (resources.folder("serving") / "requirements.in").read_text()
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return tuple(_canonical(Requirement(line)) for line in lines if line)


def check(manifest: Manifest) -> LockState:
    """Compare the lock beside the manifest with what it has to hold. Reads, never resolves."""
    path, inputs = path_for(manifest), wanted(manifest)
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


async def write(runtime: Runtime, manifest: Manifest, *, upgrade: bool = False) -> Written:
    """Resolve and write the lock beside the manifest.

    Versions that are locked already stay where they fit, unless `upgrade` asks for the newest.
    Raises InvalidInput and EnvironmentFailed as `resolve` does.
    """
    state = check(manifest)
    keep = None if upgrade or state.lock is None or not state.lock.entries else state.path
    data = await resolve(runtime, manifest, state.wanted, previous=keep, index=additional_index())
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
    wrong = [defect.message for defect in lock.defects]
    wrong += lockfile.uncovered(inputs.requirements, lock)
    if wrong:
        raise EnvironmentFailed(f"uv made a lock that cannot be used: {'; '.join(wrong)}.")
    return data


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
