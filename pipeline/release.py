"""The order of the stages, and what happens when one says no.

`run` takes a manifest as far as its goal. A no ends the run with its report and leaves what serves
alone; nothing is written outside the state folder, and there only whole.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import anyio
import anyio.to_thread

from pipeline import manifest as manifests
from pipeline import rollout, runs
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed, InvalidInput, MlifecycleError, Problem, first_of
from pipeline.evidence import provenance
from pipeline.kubernetes.platforms import Platform
from pipeline.line import Line, Stopped
from pipeline.manifest import Manifest
from pipeline.places.host import HostPlace
from pipeline.places.interface import Built, Place
from pipeline.policy.bundle import Bundle
from pipeline.progress import Observer
from pipeline.record import Outcome, RunRecord, StageReport
from pipeline.reports import files
from pipeline.resources import folder
from pipeline.stages import build, govern, judge, render, sbom, scan
from pipeline.state import State, write_atomically
from pipeline.targets.interface import Served


class Goal(StrEnum):
    """The last stage of a run."""

    GOVERN = "govern"
    LINT = "lint"
    BUILD = "build"
    SCAN = "scan"
    SBOM = "sbom"
    RENDER = "render"
    PUBLISH = "publish"
    EVIDENCE = "evidence"
    DEPLOY = "deploy"


# The goals for which a release is examined from all sides.
WHOLE = (Goal.PUBLISH, Goal.EVIDENCE, Goal.DEPLOY)


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks for.

    `wait` is how many seconds another command on the same model may take first; `place` is where
    the tools run and what is built goes. `image`, by digest, is rendered instead of one that would
    be built, and `platform` is what it is rendered for besides Kubernetes itself. `again` is the
    command that does the run again, where that is not the command line's.
    """

    goal: Goal
    manifest: Path
    environment: Environment
    state: State
    policies: Path | None = None
    policies_mode: str = "extend"
    wait: float = 600.0
    again: str | None = None
    image: str | None = None
    platform: Platform | None = None
    place: Place = field(default_factory=HostPlace)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run. `served` is set when it ended with a model in service."""

    record: RunRecord
    folder: Path
    manifest: Manifest
    built: Built | None = None
    served: Served | None = None


async def run(request: Request, observer: Observer) -> Result:
    """Take the manifest to the request's goal, and say how far it came.

    Raises InvalidInput, and writes nothing, when the manifest or the policies are malformed;
    EnvironmentFailed, after the record is closed, when a tool or the machine failed.
    """
    began = time.monotonic()
    if request.policies is None and request.policies_mode == "replace":
        expected, remedy = "a folder of policies to put in their place", "Add --policies DIR."
        raise InvalidInput([Problem("--policies-mode", "", "replace", expected, remedy)])
    if request.image is not None:
        render.reference(request.image)
    manifest = manifests.load(request.manifest)
    bundle = Bundle.load(folder("policies"), request.policies, request.policies_mode)
    catalog = request.place.catalog(request.state)
    loaded = time.monotonic() - began
    served, built = None, None
    async with _recorded(request, manifest) as under_way:
        line = Line(
            request.environment,
            manifest,
            bundle,
            request.state,
            request.place,
            catalog,
            under_way,
            observer,
            request.wait,
        )
        observer.started("validate")
        deploying = request.goal is Goal.DEPLOY
        async with request.place.deploying(line) if deploying else contextlib.nullcontext():
            line.require(_validated(manifest, loaded))
            built = await _checked(line, request)
            if deploying:
                served = await _deploy(line, built)
    return Result(under_way.record, under_way.folder, manifest, built, served)


async def _checked(line: Line, request: Request) -> Built | None:
    """Judge, build and examine, as far as the goal asks for it."""
    goal = request.goal
    if goal is Goal.LINT:
        line.require(await scan.lint(line.open("lint"), line.manifest))
        return None
    metadata = line.manifest.model.metadata
    serving = await anyio.to_thread.run_sync(
        line.catalog.serving, metadata.name, metadata.namespace, line.environment
    )
    line.require(await govern.run(line.open("govern"), line.manifest, serving))
    if goal is Goal.GOVERN:
        return None
    if goal is Goal.RENDER and request.image is not None:
        await _render(line, request.image, request.platform)
        return None
    report, built = await build.run(line.open("build"), line.manifest)
    line.require(report)
    if built is None:
        raise EnvironmentFailed("The build passed without a release.")
    line.run.note(release=built.digest)
    said = provenance.statement(line.record, built, datetime.now(UTC))
    write_atomically(line.folder / provenance.NAME, said)
    await _examine(line, built, goal)
    reference = line.place.reference(built)
    if reference is not None and goal in (Goal.RENDER, *WHOLE):
        await _render(line, reference, request.platform)
    elif goal is Goal.RENDER:
        raise EnvironmentFailed(
            "There is nothing to render: what is built here is no image.",
            "Name one with --image, or build it in containers.",
        )
    return built


async def _render(line: Line, reference: str, platform: Platform | None) -> None:
    """The objects that run the image, judged before anything is pushed or a cluster is asked."""
    rendered, objects = await render.run(line.open(render.NAME), line.manifest, reference, platform)
    line.require(rendered)
    line.require(await judge.run(line.open(judge.NAME), objects))


async def _examine(line: Line, built: Built, goal: Goal) -> None:
    """Scan and inventory side by side; both report before either ends the run."""
    passed: list[bool] = []

    async def scanned() -> None:
        passed.append(line.keep(await scan.run(line.open("scan"), line.manifest, built)))

    async def inventoried() -> None:
        passed.append(line.keep(await sbom.run(line.open("sbom"), line.manifest, built)))

    try:
        async with anyio.create_task_group() as group:
            if goal in (Goal.SCAN, *WHOLE):
                group.start_soon(scanned)
            if goal in (Goal.SBOM, *WHOLE):
                group.start_soon(inventoried)
    except ExceptionGroup as errors:
        raise first_of(errors) from None
    if not all(passed):
        raise Stopped


async def _deploy(line: Line, built: Built | None) -> Served:
    if built is None:
        raise EnvironmentFailed("There is no release to deploy.")
    evidence = rollout.evidence_of(line.record)
    write_atomically(line.folder / "reports" / "evidence.json", evidence)
    served = await line.place.deploy(line, built)
    if served is None:
        raise Stopped
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
        runtime=request.place.name,
        versions=request.place.versions(),
        manifest_digest=manifest.digest,
        model=f"{metadata.namespace}/{metadata.name}",
        version=spec.model.version,
        policies=request.policies,
        policies_mode=request.policies_mode,
        again=request.again,
    )
    outcome, error = Outcome.FAILED, None
    try:
        yield run
        outcome = Outcome.PASSED
    except Stopped:
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
