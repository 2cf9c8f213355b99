"""What can be done with deployments once they are there: look, go back, read logs, stop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import anyio.to_thread

from pipeline import manifest as manifests
from pipeline import rollout, runs
from pipeline.catalog.interface import Event, Kind
from pipeline.catalog.registry import MlflowCatalog
from pipeline.environment import Environment
from pipeline.errors import Busy, InvalidInput, MlifecycleError, Problem
from pipeline.exclusive import exclusively
from pipeline.line import Line
from pipeline.places.host import HostPlace
from pipeline.policy.bundle import Bundle
from pipeline.progress import Observer
from pipeline.record import Outcome
from pipeline.release import Result
from pipeline.release_folder import Release
from pipeline.reports import files
from pipeline.resources import folder
from pipeline.state import State
from pipeline.targets import desired
from pipeline.targets.interface import Served
from pipeline.targets.process import ProcessTarget

WAIT = 600.0  # seconds for another command on the same model


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model's place in one environment on this machine."""

    state: State
    environment: Environment
    namespace: str
    name: str

    @property
    def folder(self) -> Path:
        """Where its record, logs and sockets are."""
        return self.state.deployment(self.environment, self.namespace, self.name)

    @property
    def target(self) -> ProcessTarget:
        """The processes behind it."""
        return ProcessTarget(self.folder)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} ({self.environment})"


@dataclass(frozen=True, slots=True)
class Status:
    """What a deployment is doing now. `served` is None when it is stopped.

    `busy` names another command that is at work on it, `trouble` what could not be found out.
    """

    deployment: Deployment
    served: Served | None
    interrupted: tuple[str, ...] = ()
    trouble: str = ""
    busy: str = ""

    @property
    def good(self) -> bool:
        """Whether it is as it should be: healthy, or stopped on purpose."""
        return not self.trouble and (self.served is None or self.served.healthy)


def deployments(state: State, environment: Environment) -> list[Deployment]:
    """Every deployment that was ever made in `environment`, sorted by namespace and name."""
    root = state.root / "deployments" / environment
    return [
        Deployment(state, environment, path.parent.parent.name, path.parent.name)
        for path in sorted(root.glob(f"*/*/{desired.NAME}"))
    ]


def find(state: State, environment: Environment, name: str) -> Deployment:
    """The deployment called `name` or `namespace/name`. Raises InvalidInput unless it is one."""
    known = deployments(state, environment)
    found = [d for d in known if name in (d.name, f"{d.namespace}/{d.name}")]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{d.namespace}/{d.name}" for d in (found or known)) or "none yet"
    raise InvalidInput(
        [
            Problem(
                file="NAME",
                path="",
                value=name,
                expected=f"one deployment in {environment} of {state.root} ({names})",
                remedy="Name one of them, or another --environment or --state.",
            )
        ]
    )


async def status(state: State, environment: Environment, name: str | None) -> list[Status]:
    """What serves; what a killed command left behind is repaired first."""
    found = [find(state, environment, name)] if name else deployments(state, environment)
    return [await _status(deployment) for deployment in found]


async def _status(deployment: Deployment) -> Status:
    trouble, busy, served = "", "", None
    try:
        async with _exclusively(deployment, wait=0.0):
            served = await deployment.target.current()
            await rollout.reconcile(deployment.folder, MlflowCatalog(deployment.state))
    except Busy as error:
        # That command repairs what is to be repaired; what serves can be said all the same.
        busy = error.message
        served = await deployment.target.current()
    except MlifecycleError as error:
        trouble = str(error)
    model = f"{deployment.namespace}/{deployment.name}"
    try:
        interrupted = _interrupted(deployment, model)
    except MlifecycleError as error:
        interrupted, trouble = (), trouble or str(error)
    return Status(deployment, served, interrupted, trouble, busy)


def _interrupted(deployment: Deployment, model: str) -> tuple[str, ...]:
    return tuple(
        run.record.id
        for run in runs.listed(deployment.state)
        if run.status is runs.Status.INTERRUPTED
        and run.record.model == model
        and run.record.environment is deployment.environment
    )


async def history(state: State, environment: Environment, name: str) -> list[Event]:
    """Every change of what served, newest first."""
    deployment = find(state, environment, name)
    catalog = MlflowCatalog(state)
    # A command at work brings the catalog in line itself.
    with contextlib.suppress(Busy):
        async with _exclusively(deployment, wait=0.0):
            await rollout.reconcile(deployment.folder, catalog)
    return await anyio.to_thread.run_sync(
        catalog.history, deployment.name, deployment.namespace, environment
    )


async def logs(state: State, environment: Environment, name: str, lines: int) -> list[str]:
    """The last lines of the servers' logs, oldest first."""
    return await find(state, environment, name).target.logs(lines)


async def stop(state: State, environment: Environment, name: str) -> bool:
    """Drain and end what serves, and say so to the catalog. False when nothing served."""
    deployment = find(state, environment, name)
    catalog = MlflowCatalog(state)
    async with _exclusively(deployment, wait=WAIT):
        await rollout.reconcile(deployment.folder, catalog)
        wanted = desired.read(deployment.folder)
        if wanted is None or not wanted.serving:
            return False
        former = rollout.recorded(wanted.record, deployment.folder)
        event = former.model_copy(update={"kind": Kind.STOP, "at": datetime.now(UTC)})
        stopped = await deployment.target.stop(event.model_dump(mode="json"))
        await anyio.to_thread.run_sync(catalog.register, event)
        return stopped


async def rollback(
    state: State, environment: Environment, name: str, version: str | None, observer: Observer
) -> Result:
    """Bring back the release that served before, or the last that served as `version`.

    It is started, verified and switched to like any other; one that fails leaves what serves.
    """
    deployment = find(state, environment, name)
    catalog = MlflowCatalog(state)
    async with _exclusively(deployment, wait=WAIT):
        await rollout.reconcile(deployment.folder, catalog)
        events = await anyio.to_thread.run_sync(
            catalog.history, deployment.name, deployment.namespace, environment
        )
        former = _former(deployment, events, version)
        release = Release.open(state.releases / former.release.removeprefix("sha256:"))
        manifest = manifests.load(release.folder / "manifest.yaml")
        bundle = Bundle.load(folder("policies"), None, "extend")
        place = HostPlace()
        run = runs.start(
            state,
            command="rollback",
            manifest=manifest.path,
            environment=environment,
            runtime=place.name,
            versions=place.versions(),
            manifest_digest=manifest.digest,
            model=f"{deployment.namespace}/{deployment.name}",
            version=release.version,
        )
        run.note(release=release.digest)
        line = Line(environment, manifest, bundle, state, place, catalog, run, observer, WAIT)
        event = former.model_copy(
            update={"kind": Kind.ROLLBACK, "at": datetime.now(UTC), "run": run.record.id}
        )
        outcome, error = Outcome.FAILED, None
        try:
            change = rollout.Rollout(
                line.open, line.keep, deployment.target, catalog, state.releases
            )
            served = await change.take_over(release, manifest, event)
            outcome = Outcome.PASSED if served else Outcome.DENIED
        except BaseException as failure:
            error = str(failure) or type(failure).__name__
            raise
        finally:
            run.finish(outcome, error)
            files.write(run.record, run.folder)
        return Result(run.record, run.folder, manifest, release, served)


def _former(deployment: Deployment, events: list[Event], version: str | None) -> Event:
    """The event that put the wanted release into service."""
    wanted = desired.read(deployment.folder)
    now = wanted.release if wanted is not None and wanted.serving else None
    served = [event for event in events if event.kind is not Kind.STOP]
    candidates = [
        event for event in served if (event.version == version if version else event.release != now)
    ]
    if not version and now is not None:
        # The one before what serves now, not merely another one: going back twice goes further.
        candidates = _before(served, now) or candidates
    if candidates:
        return candidates[0]
    versions = ", ".join(dict.fromkeys(event.version for event in served)) or "none"
    raise InvalidInput(
        [
            Problem(
                file="NAME" if version is None else "--to",
                path="",
                value=version or deployment.name,
                expected="another version than the one that serves, out of those that have served "
                f"here ({versions})",
                remedy="There is nothing else to go back to; see `mlifecycle history`.",
            )
        ]
    )


def _before(served: list[Event], now: str) -> list[Event]:
    """What served before `now` was first brought into service, newest first."""
    for index in range(len(served) - 1, -1, -1):
        if served[index].release == now:
            return served[index + 1 :]
    return []


@contextlib.asynccontextmanager
async def _exclusively(deployment: Deployment, wait: float) -> AsyncIterator[None]:
    def silent(message: str) -> None: ...

    async with exclusively(deployment.folder / "deploy.lock", wait=wait, on_wait=silent):
        yield
