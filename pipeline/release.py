"""The order of the stages, and what happens when one says no.

`run` takes a manifest as far as its goal. A no ends the run with its report and leaves what serves
alone; nothing is written outside the state folder, and there only whole.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import anyio
import anyio.to_thread

from pipeline import manifest as manifests
from pipeline import rollout, runs
from pipeline.catalog.interface import Catalog, Kind
from pipeline.catalog.registry import MlflowCatalog
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed, InvalidInput, MlifecycleError, Problem
from pipeline.exclusive import exclusively
from pipeline.manifest import Manifest
from pipeline.policy.bundle import Bundle
from pipeline.policy.regocpp import RegoCpp
from pipeline.progress import Observer, StageProgress
from pipeline.record import Outcome, RunRecord, StageReport
from pipeline.release_folder import Release
from pipeline.reports import files
from pipeline.resources import folder
from pipeline.runtimes.host import Host
from pipeline.runtimes.interface import Runtime
from pipeline.stages import build, govern, sbom, scan
from pipeline.stages.interface import Context
from pipeline.state import State, write_atomically
from pipeline.targets.interface import Served
from pipeline.targets.process import ProcessTarget


class Goal(StrEnum):
    """The last stage of a run."""

    GOVERN = "govern"
    BUILD = "build"
    SCAN = "scan"
    SBOM = "sbom"
    DEPLOY = "deploy"


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks for.

    `wait` is how many seconds another command on the same model may take first; `port` is where a
    first deployment listens.
    """

    goal: Goal
    manifest: Path
    environment: Environment
    state: State
    policies: Path | None = None
    policies_mode: str = "extend"
    port: int | None = None
    wait: float = 600.0
    runtime: Runtime = field(default_factory=Host)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run. `served` is set when it ended with a model in service."""

    record: RunRecord
    folder: Path
    manifest: Manifest
    served: Served | None = None


class _Stopped(Exception):
    """A stage ended the run. Its report is already in the record."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A run under way: where its stages work, and where their reports go."""

    request: Request
    manifest: Manifest
    bundle: Bundle
    run: runs.Run
    observer: Observer
    catalog: Catalog

    def open(self, stage: str) -> Context:
        """Announce `stage` and give it its place to work."""
        self.observer.started(stage)
        return Context(
            environment=self.request.environment,
            bundle=self.bundle,
            engine=RegoCpp(),
            runtime=self.request.runtime,
            state=self.request.state,
            run_folder=self.run.folder,
            progress=StageProgress(self.observer, stage),
        )

    def keep(self, report: StageReport) -> bool:
        """Put a stage's report into the record. True when the run may go on."""
        self.run.add(report)
        self.observer.finished(report)
        return report.outcome is Outcome.PASSED

    def require(self, report: StageReport) -> None:
        """`keep`, and end the run here when the report says no."""
        if not self.keep(report):
            raise _Stopped

    @property
    def place(self) -> Path:
        """The folder of the deployment that this run is about."""
        metadata = self.manifest.model.metadata
        return self.request.state.deployment(
            self.request.environment, metadata.namespace, metadata.name
        )


async def run(request: Request, observer: Observer) -> Result:
    """Take the manifest to the request's goal, and say how far it came.

    Raises InvalidInput, and writes nothing, when the manifest or the policies are malformed;
    EnvironmentFailed, after the record is closed, when a tool or the machine failed.
    """
    began = time.monotonic()
    if request.policies is None and request.policies_mode == "replace":
        expected, remedy = "a folder of policies to put in their place", "Add --policies DIR."
        raise InvalidInput([Problem("--policies-mode", "", "replace", expected, remedy)])
    manifest = manifests.load(request.manifest)
    bundle = Bundle.load(folder("policies"), request.policies, request.policies_mode)
    catalog = MlflowCatalog(request.state)
    loaded = time.monotonic() - began
    served = None
    async with _recorded(request, manifest) as under_way:
        line = _Line(request, manifest, bundle, under_way, observer, catalog)
        observer.started("validate")
        if request.goal is Goal.DEPLOY:
            async with exclusively(
                line.place / "deploy.lock",
                wait=request.wait,
                on_wait=lambda message: observer.step("validate", message),
            ):
                line.require(_validated(manifest, loaded))
                ProcessTarget(line.place, port=request.port).check_port()
                await rollout.reconcile(line.place, catalog)
                served = await _deploy(line, await _checked(line))
        else:
            line.require(_validated(manifest, loaded))
            await _checked(line)
    return Result(under_way.record, under_way.folder, manifest, served)


async def _checked(line: _Line) -> Release | None:
    """Judge, build and examine, as far as the goal asks for it."""
    request, metadata = line.request, line.manifest.model.metadata
    serving = await anyio.to_thread.run_sync(
        line.catalog.serving, metadata.name, metadata.namespace, request.environment
    )
    line.require(await govern.run(line.open("govern"), line.manifest, serving))
    if request.goal is Goal.GOVERN:
        return None
    report, release = await build.run(line.open("build"), line.manifest)
    line.require(report)
    if release is None:
        raise EnvironmentFailed("The build passed without a release.")
    line.run.note(release=release.digest)
    await _examine(line, release)
    return release


async def _examine(line: _Line, release: Release) -> None:
    """Scan and inventory side by side; both report before either ends the run."""
    goal = line.request.goal
    passed: list[bool] = []

    async def scanned() -> None:
        passed.append(line.keep(await scan.run(line.open("scan"), line.manifest, release)))

    async def inventoried() -> None:
        passed.append(line.keep(await sbom.run(line.open("sbom"), line.manifest, release)))

    try:
        async with anyio.create_task_group() as group:
            if goal in (Goal.SCAN, Goal.DEPLOY):
                group.start_soon(scanned)
            if goal in (Goal.SBOM, Goal.DEPLOY):
                group.start_soon(inventoried)
    except ExceptionGroup as errors:
        first: Exception = errors
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    if not all(passed):
        raise _Stopped


async def _deploy(line: _Line, release: Release | None) -> Served:
    if release is None:
        raise EnvironmentFailed("There is no release to deploy.")
    request = line.request
    evidence = rollout.evidence_of(line.run.record)
    write_atomically(line.run.folder / "reports" / "evidence.json", evidence)
    event = rollout.event_of(
        Kind.DEPLOY, line.manifest, release, request.environment, line.run.record
    )
    target = ProcessTarget(line.place, port=request.port)
    change = rollout.Rollout(line.open, line.keep, target, line.catalog, request.state.releases)
    served = await change.take_over(release, line.manifest, event)
    if served is None:
        raise _Stopped
    serving = await anyio.to_thread.run_sync(line.catalog.in_service)
    runs.prune(request.state, {line.run.record.id, *(entry.run for entry in serving)})
    return served


def _validated(manifest: Manifest, seconds: float) -> StageReport:
    model = manifest.model.spec.model
    return StageReport(
        stage="validate",
        outcome=Outcome.PASSED,
        summary=f"{model.name} {model.version} is well-formed",
        inputs={"manifest": manifest.digest},
        seconds=seconds,
    )


@contextlib.asynccontextmanager
async def _recorded(request: Request, manifest: Manifest) -> AsyncIterator[runs.Run]:
    """A run whose record is closed however it ends: passed, denied, failed or interrupted."""
    spec, metadata = manifest.model.spec, manifest.model.metadata
    run = runs.start(
        request.state,
        command=request.goal.value,
        manifest=request.manifest,
        environment=request.environment,
        runtime=request.runtime.name,
        manifest_digest=manifest.digest,
        model=f"{metadata.namespace}/{metadata.name}",
        version=spec.model.version,
        policies=request.policies,
        policies_mode=request.policies_mode,
    )
    outcome, error = Outcome.FAILED, None
    try:
        yield run
        outcome = Outcome.PASSED
    except _Stopped:
        outcome = Outcome.DENIED
    except MlifecycleError as failure:
        error = str(failure)
        raise
    except BaseException as failure:
        error = f"interrupted by {type(failure).__name__}"
        raise
    finally:
        run.finish(outcome, error)
        files.write(run.record, run.folder)
