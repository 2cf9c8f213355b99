"""The contract of a place: what differs between this machine and containers, and nothing else.

Stages ask for what they need through it and do not know which one they were given.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.batching import Batching
from pipeline.catalog.interface import Catalog
from pipeline.examination import Examination
from pipeline.inventory import Inventory
from pipeline.lockfile import Lock
from pipeline.manifest import Manifest
from pipeline.policy.interface import Engine
from pipeline.program import Program
from pipeline.progress import Progress
from pipeline.runtimes.interface import Input, Invocation, Outcome, Runtime
from pipeline.state import State
from pipeline.targets.interface import Served

if TYPE_CHECKING:
    from pipeline.line import Line


class Refused(Exception):
    """What an index serves is not what the lock names, or the lock is not complete.

    `rule` is BLD-ENV-001 or BLD-ENV-002, `said` what the installer said.
    """

    def __init__(self, rule: str, said: str) -> None:
        self.rule = rule
        self.said = said
        super().__init__(said)


class Built(Protocol):
    """What the build stage makes: a release of one model, whose parts are named by digest."""

    @property
    def digest(self) -> str:
        """What the running server must call itself."""

    @property
    def name(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def manifest_digest(self) -> str: ...
    @property
    def model_digest(self) -> str: ...
    @property
    def lock_digest(self) -> str: ...
    @property
    def server_digest(self) -> str: ...
    @property
    def settings_digest(self) -> str: ...
    @property
    def environment_digest(self) -> str: ...

    @property
    def lane(self) -> str:
        """What computes in its server: `torch` or `onnx`."""

    @property
    def program_digest(self) -> str:
        """The file that the lane runs: the model file, or what it was converted to."""

    @property
    def transform_digest(self) -> str:
        """The model's own code around it; empty without any."""

    @property
    def lock(self) -> Path:
        """The hash lock that the environment was installed from."""

    @property
    def server(self) -> Path:
        """The folder with the server's sources."""

    @property
    def inventory(self) -> Inventory:
        """What is installed."""

    @property
    def installed(self) -> Input:
        """What the bill of materials is made from: the environment, or an image's file system."""

    @property
    def image(self) -> Mapping[str, Input]:
        """What scanners of images read, by the names of `pipeline/tools/`; empty without image."""

    @property
    def outputs(self) -> Mapping[str, str]:
        """The digests that the build stage puts on record besides those above."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a builder made, or found (`reused`), and how its server asks the model."""

    release: Built
    batching: Batching
    reused: bool


class Builder(Protocol):
    """Makes a release of checked parts."""

    @property
    def torch_index(self) -> str | None:
        """An index beside the default one, that torch comes from."""

    async def converted(self, call: Invocation, progress: Progress) -> Outcome:
        """Carry out a call of the converter, with the environment that it needs.

        Raises ToolNotFound, and EnvironmentFailed when there is no such environment to be had.
        """

    async def build(
        self, manifest: Manifest, program: Program, lock: Lock, progress: Progress
    ) -> Made:
        """The release, made or found.

        Raises Refused when lock and index disagree, EnvironmentFailed when it cannot be made.
        """

    async def examine(self, built: Built) -> Examination:
        """What is installed in a release of ours, read from its files."""

    async def databases(self, built: Built, progress: Progress) -> Mapping[str, Input]:
        """The vulnerability databases that scanners of images read, by their names in
        `pipeline/tools/`; without those that cannot be had."""


class Images(Protocol):
    """Where a cluster finds a release's image."""

    def reference(self, built: Built) -> str | None:
        """What it would be pulled by, with its digest; None where it cannot be."""

    async def published(self, line: Line, built: Built) -> str:
        """Its reference, once it can be pulled by it. Raises EnvironmentFailed."""


class Place(Protocol):
    """Where the tools run, what a build makes, and where a release goes."""

    @property
    def name(self) -> str:
        """As records have it."""

    @property
    def runtime(self) -> Runtime: ...
    @property
    def engine(self) -> Engine: ...

    def versions(self) -> Mapping[str, str]:
        """The versions of what decides a run's results besides its inputs and the scanners."""

    def catalog(self, state: State) -> Catalog:
        """The catalog that knows what serves."""

    def builder(self, state: State) -> Builder:
        """What makes releases."""

    def reference(self, built: Built) -> str | None:
        """What a cluster would pull the release by, with its digest; None where it cannot."""

    def deploying(self, line: Line) -> AbstractAsyncContextManager[None]:
        """Held during a whole deploy: what must not happen twice at once, and what comes first."""

    async def deploy(self, line: Line, built: Built) -> Served | None:
        """Bring the release into service and register it; None when a stage said no."""
