"""This machine: programs from wheels and PATH, a folder for a release, a process that serves it."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread

from pipeline import batching as batchings
from pipeline import digest, installation, lockfile, resources, rollout, runs
from pipeline.batching import Batching
from pipeline.catalog.interface import Catalog, Kind
from pipeline.errors import EnvironmentFailed
from pipeline.examination import Examination, examine
from pipeline.exclusive import exclusively
from pipeline.lockfile import Lock
from pipeline.manifest import Manifest
from pipeline.places.interface import Built, Made
from pipeline.policy.interface import Engine
from pipeline.policy.regocpp import RegoCpp
from pipeline.program import Program
from pipeline.progress import Progress
from pipeline.release_folder import Parts, Release, assemble, server_digest, settings_of
from pipeline.runtimes.host import Host
from pipeline.runtimes.interface import Input, Invocation, Outcome, Runtime
from pipeline.stages import lock as locks
from pipeline.state import State
from pipeline.targets.interface import Served
from pipeline.targets.process import ProcessTarget
from pipeline.tools import converter

if TYPE_CHECKING:
    from pipeline.line import Line

WAIT = 3600.0  # seconds, for another command that puts the same release together


class HostPlace:
    """The place without a container engine. `port` is where a first deployment listens."""

    name = "host"

    def __init__(self, port: int | None = None) -> None:
        self.runtime: Runtime = Host()
        self.engine: Engine = RegoCpp()
        self._port = port

    def versions(self) -> Mapping[str, str]:
        """Those of the wheels that decide."""
        return {name: version(name) for name in ("regopy", "uv")}

    def catalog(self, state: State) -> Catalog:
        """MLflow's, in this process."""
        # Not imported before it is needed: the container place has no MLflow.
        from pipeline.catalog.registry import MlflowCatalog

        return MlflowCatalog(state)

    def builder(self, state: State) -> FolderBuilder:
        """Release folders in the state folder."""
        return FolderBuilder(self.runtime, state)

    def reference(self, built: Built) -> str | None:
        """A folder is not pulled."""
        return None

    @contextlib.asynccontextmanager
    async def deploying(self, line: Line) -> AsyncIterator[None]:
        """The deployment's lock, so that two deploys of one model follow each other."""
        folder = _deployment(line)
        async with exclusively(
            folder / "deploy.lock",
            wait=line.wait,
            on_wait=lambda message: line.observer.step("validate", message),
        ):
            ProcessTarget(folder, port=self._port).check_port()
            await rollout.reconcile(folder, line.catalog)
            yield

    async def deploy(self, line: Line, built: Built) -> Served | None:
        """Start it beside what serves, prove it, move the traffic."""
        if not isinstance(built, Release):
            raise TypeError("a host deploys release folders")
        event = rollout.event_of(Kind.DEPLOY, line.manifest, built, line.environment, line.record)
        target = ProcessTarget(_deployment(line), port=self._port)
        change = rollout.Rollout(line.open, line.keep, target, line.catalog, line.state.releases)
        served = await change.take_over(built, line.manifest, event)
        if served is not None:
            serving = await anyio.to_thread.run_sync(line.catalog.in_service)
            runs.prune(line.state, {line.record.id, *(entry.run for entry in serving)})
        return served


@dataclass(frozen=True, slots=True)
class FolderBuilder:
    """Makes release folders with shared, content-addressed environments."""

    runtime: Runtime
    state: State

    @property
    def torch_index(self) -> str | None:
        """As the variable of this machine says."""
        return locks.additional_index()

    async def converted(self, call: Invocation, progress: Progress) -> Outcome:
        """With the converter's own lock, installed as a release's is."""
        lock = lockfile.parse((resources.folder("requirements") / converter.LOCK).read_bytes())
        environment = await installation.install(
            self.runtime, self.state, lock, progress, index=self.torch_index
        )
        python = str((environment.folder / "bin" / "python").absolute())
        return await self.runtime.run(dataclasses.replace(call, command=python))

    async def build(
        self, manifest: Manifest, program: Program, lock: Lock, progress: Progress
    ) -> Made:
        """Install the lock, unless it is installed, and put the release together."""
        environment = await installation.install(
            self.runtime, self.state, lock, progress, index=self.torch_index
        )
        batching = await self._batching(manifest, program, environment, progress)
        progress.step("putting the release together")
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        parts = Parts(manifest, program, lock.data, environment, python, batching.mode)
        guard = self.state.root / "locks" / "releases"
        try:
            async with exclusively(guard, wait=WAIT, on_wait=progress.step):
                release, reused = await anyio.to_thread.run_sync(
                    assemble, parts, self.state.releases
                )
                return Made(release, batching, reused and environment.reused)
        except OSError as error:
            raise EnvironmentFailed(
                f"The release could not be written to {self.state.releases}: {error}.",
                "Free some space, or move the state folder with --state.",
            ) from error

    async def _batching(
        self,
        manifest: Manifest,
        program: Program,
        environment: installation.Installation,
        progress: Progress,
    ) -> Batching:
        """What the manifest states, or what a measurement in the environment says, once."""
        if (stated := batchings.stated(manifest)) is not None:
            return stated
        settings = settings_of(manifest, program, batchings.UNDECIDED.mode)
        key = {
            "environment": environment.digest,
            "server": server_digest(),
            "settings": digest.of_bytes(settings),
        }
        place = self.state.cached("batching", key)
        guard = self.state.root / "locks" / f"batching-{digest.short(digest.of_json(key))}"
        async with exclusively(guard, wait=WAIT, on_wait=progress.step):
            if (found := batchings.kept(place)) is not None:
                return found
            progress.step("measuring how the model is best asked")
            with tempfile.TemporaryDirectory(prefix="mlifecycle-") as folder:
                draft = Path(folder) / "settings.json"
                draft.write_bytes(settings)
                call = Invocation(
                    tool="measure",
                    command=str((environment.folder / "bin" / "python").absolute()),
                    arguments=(*batchings.ARGUMENTS, "release"),
                    inputs={
                        "release/settings.json": draft,
                        f"release/{program.file}": program.path,
                        "server/serving": resources.folder("serving"),
                    },
                    environment={"PYTHONPATH": "server", "PYTHONDONTWRITEBYTECODE": "1"},
                    timeout=batchings.TIMEOUT,
                )
                batching = batchings.measured(await self.runtime.run(call))
            batchings.keep(place, batching)
        return batching

    async def examine(self, built: Built) -> Examination:
        """Read the environment, whose files are on this machine."""
        installed = built.installed
        if not isinstance(installed, Path):
            raise TypeError("a host has environments on its disk")
        return await anyio.to_thread.run_sync(examine, installed)

    async def databases(self, built: Built, progress: Progress) -> Mapping[str, Input]:
        """None: there is no image to scan with them."""
        return {}


def _deployment(line: Line) -> Path:
    metadata = line.manifest.model.metadata
    return line.state.deployment(line.environment, metadata.namespace, metadata.name)
