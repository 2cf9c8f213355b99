"""The build stage: the model fetched and checked, the lock installed, a release put together."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from pipeline import conversion, digest, lockfile, model_source, policy, resources, transform
from pipeline.errors import EnvironmentFailed
from pipeline.lockfile import Lock
from pipeline.manifest import Manifest
from pipeline.model_source import StoredModel
from pipeline.places.interface import Built, Made, Refused
from pipeline.policy.bundle import SUPPLY_CHAIN
from pipeline.program import Lane, Program, Transform
from pipeline.record import Outcome, StageReport
from pipeline.stages import lock as locks
from pipeline.stages.interface import Context
from pipeline.stages.lock import LockStatus
from pipeline.state import write_atomically
from pipeline.verdict import Level, Violation


@dataclass(frozen=True, slots=True)
class _Gathered:
    """What is known before anything is installed."""

    locks: Mapping[Lane, locks.LockState]
    model: StoredModel
    transform: Transform | None
    violations: tuple[Violation, ...]


async def run(context: Context, manifest: Manifest) -> tuple[StageReport, Built | None]:
    """Build the release of `manifest`, or find it: the same inputs make the same digest.

    Raises InvalidInput for a lock that no longer fits or a model that is not there, and
    EnvironmentFailed when it cannot be built here. What is there but not acceptable (an unlocked
    build where the policy wants a lock, a model file that is unsafe or not the one claimed) is a
    violation. No release comes with one that denies.
    """
    began = time.monotonic()
    gathered = await _gather(context, manifest)
    inputs = {"manifest": manifest.digest, "model": gathered.model.digest}
    if gathered.transform is not None:
        inputs["transform"] = gathered.transform.digest
    violations = gathered.violations
    made: Made | None = None
    chosen = conversion.Chosen(None, "", {})
    if not _deny(violations):
        chosen = await conversion.choose(
            context.builder,
            context.state,
            manifest,
            gathered.model,
            gathered.transform,
            context.progress,
        )
        if chosen.program is None:
            violations += (_unconverted(manifest, chosen.refused),)
        else:
            state = gathered.locks[chosen.program.lane]
            lock = await _lock(context, manifest, state, chosen.program.lane)
            inputs["lock"] = lock.digest
            try:
                made = await context.builder.build(manifest, chosen.program, lock, context.progress)
            except Refused as refused:
                violations += (_refused(refused, state),)
    release = made.release if made else None
    report = StageReport(
        stage="build",
        outcome=Outcome.DENIED if _deny(violations) else Outcome.PASSED,
        summary=_summary(manifest, release, violations),
        inputs=inputs,
        outputs=_outputs(release),
        decided=_decided(chosen.program, made),
        violations=violations,
        artifacts={
            **_inventory_report(context, release),
            **_conversion_report(context, chosen.document),
        },
        seconds=time.monotonic() - began,
        reused=made is not None and made.reused,
    )
    return report, release


async def _gather(context: Context, manifest: Manifest) -> _Gathered:
    states = {lane: locks.check(manifest, lane) for lane in conversion.lanes(manifest)}
    for state in states.values():
        if state.status is LockStatus.STALE:
            raise locks.stale(manifest, state)
    document = {
        "subject": "lock",
        "environment": context.environment.value,
        "locked": all(state.status is LockStatus.LOCKED for state in states.values()),
    }
    verdict = await policy.judge(context.engine, context.bundle, SUPPLY_CHAIN, document)
    violations = list(verdict.violations)
    context.progress.step("fetching the model")
    model = await model_source.fetch(manifest, context.state)
    own = await transform.fetch(manifest, context.state)
    claim = manifest.model.spec.model.digest
    if claim is not None and claim != model.digest:
        violations.append(_another_model(claim, model))
    context.progress.step("checking the model file")
    unsafe = await anyio.to_thread.run_sync(_unsafe, model.path)
    if unsafe is not None:
        violations.append(_unsafe_model(manifest, unsafe))
    if not verdict.allowed and not _deny(tuple(violations)):
        raise EnvironmentFailed("The policy denies the build but names no violation.")
    return _Gathered(states, model, own, tuple(violations))


async def _lock(context: Context, manifest: Manifest, state: locks.LockState, lane: Lane) -> Lock:
    """The committed lock, or one resolved into the state folder where none is committed.

    An unlocked build resolves once for each set of requirements: the second build of the same
    manifest must not differ from the first.
    """
    if state.lock is not None:
        return state.lock
    kept = context.state.root / "resolved" / f"{state.wanted.digest.removeprefix('sha256:')}.txt"
    if kept.is_file():
        lock = lockfile.parse(kept.read_bytes())
        if not lock.defects and not lockfile.uncovered(state.wanted.requirements, lock):
            return lock
    context.progress.step("resolving the dependencies (no lock is committed)")
    index = context.builder.torch_index
    data = await locks.resolve(context.runtime, manifest, state.wanted, lane, index=index)
    write_atomically(kept, data)
    return lockfile.parse(data)


def _unsafe(path: Path) -> str | None:
    """Why the server would refuse the model file, or None. Nothing of it is executed."""
    # The check is the server's own, so that what is built is what it will accept. Its sources
    # are a bundled folder, which is on the path only in a source tree.
    root = str(resources.folder("serving").parent)
    if root not in sys.path:
        sys.path.append(root)
    archive: Any = importlib.import_module("serving.archive")
    errors: Any = importlib.import_module("serving.errors")
    try:
        archive.read(path.read_bytes())
    except errors.UnsafeArchive as error:
        return str(error)
    return None


def _deny(violations: tuple[Violation, ...]) -> bool:
    return any(violation.level is Level.DENY for violation in violations)


def _unsafe_model(manifest: Manifest, why: str) -> Violation:
    return Violation(
        id="BLD-MOD-001",
        title="The model file is safe to open",
        path="spec.model.uri",
        actual=f"{manifest.model.spec.model.uri}: {why}",
        expected="an intact archive of torch.export.save that holds tensors and a program only",
        remedy="Export the model again with torch.export.save from a source that you trust.",
    )


def _another_model(claim: str, model: StoredModel) -> Violation:
    return Violation(
        id="BLD-MOD-002",
        title="The model file is the one that the manifest names",
        path="spec.model.digest",
        actual=model.digest,
        expected=claim,
        remedy="Find out who changed the file; correct the digest only if the change is meant.",
    )


def _unconverted(manifest: Manifest, why: str) -> Violation:
    return Violation(
        id="BLD-ONX-001",
        title="ONNX Runtime answers as torch does",
        path="spec.inference.lane",
        actual=why,
        expected="a model that can be written as ONNX and answers the same within "
        f"{manifest.model.spec.inference.agreement.tolerance:g}",
        remedy="Set spec.inference.lane to torch, or to auto, which then takes torch.",
    )


def _refused(refused: Refused, state: locks.LockState) -> Violation:
    title = {
        "BLD-ENV-001": "What is installed is what the lock names",
        "BLD-ENV-002": "The lock holds all that its packages require",
    }[refused.rule]
    return Violation(
        id=refused.rule,
        title=title,
        path=state.path.name,
        actual=refused.said,
        expected="packages with the hashes of the lock, and all that they require",
        remedy="Do not trust that index until you know why; or make the lock anew with "
        "`mlifecycle lock` and review what changed.",
    )


def _summary(manifest: Manifest, release: Built | None, violations: tuple[Violation, ...]) -> str:
    model = manifest.model.spec.model
    if release is None:
        rules = ", ".join(v.id for v in violations if v.level is Level.DENY)
        return f"{model.name} {model.version} is not built: {rules}"
    return f"release {digest.short(release.digest)} of {model.name} {model.version}"


def _outputs(release: Built | None) -> dict[str, str]:
    if release is None:
        return {}
    return {
        "release": release.digest,
        "server": release.server_digest,
        "environment": release.environment_digest,
        "inventory": release.inventory.digest,
        "program": release.program_digest,
        **release.outputs,
    }


def _decided(program: Program | None, made: Made | None) -> dict[str, str]:
    decided = {} if program is None else {"lane": f"{program.lane}: {program.chosen}"}
    if made is not None:
        decided["batching"] = f"{made.batching.mode}: {made.batching.decided}"
    return decided


def _conversion_report(context: Context, document: Mapping[str, Any]) -> dict[str, str]:
    """Leave what the converter said, where something was converted."""
    if not document:
        return {}
    data = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
    write_atomically(context.run_folder / conversion.REPORT, data)
    return {"conversion": conversion.REPORT}


def _inventory_report(context: Context, release: Built | None) -> dict[str, str]:
    """Leave the list of what is installed with the run's reports."""
    if release is None:
        return {}
    place = context.run_folder / "reports" / "inventory.json"
    write_atomically(place, release.inventory.to_bytes())
    return {"inventory": "reports/inventory.json"}
