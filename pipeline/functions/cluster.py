"""What `deploy` is told of a cluster, and the place that comes of it."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagger

from pipeline.errors import InvalidInput, Problem
from pipeline.functions.arguments import Strategy
from pipeline.places.containers.place import ContainerPlace
from pipeline.runtimes.containers import said_by

if TYPE_CHECKING:
    from pipeline.places.cluster import ClusterPlace

# Of memory: what is written there is on no disk, and in no layer that the engine keeps.
MEMORY = Path("/dev/shm")  # noqa: S108 - only as the room for folders with random names
# As the command line has it.
CANARY_PODS, CANARY_SECONDS, READY_SECONDS = 1, 30.0, 600.0
FEWEST_PODS, FEWEST_SECONDS, MOST_SECONDS = 1, 5, 3600


@dataclass(frozen=True, slots=True)
class ToCluster:
    """The arguments of `deploy` and `release` that are about a cluster."""

    kubeconfig: dagger.Secret | None
    api_key: dagger.Secret | None
    context: str | None
    api_server: dagger.Service | None
    strategy: Strategy
    canary_pods: int
    canary_seconds: float
    timeout: float
    force_conflicts: bool

    def check(self) -> None:
        """Refuse what makes no sense. Raises InvalidInput."""
        if self.kubeconfig is None:
            for flag, given in (
                ("--context", self.context is not None),
                ("--api-key", self.api_key is not None),
                ("--api-server", self.api_server is not None),
                ("--strategy", self.strategy is not Strategy.ROLLING),
                ("--timeout", self.timeout != READY_SECONDS),
                ("--force-conflicts", self.force_conflicts),
            ):
                if given:
                    expected = "nothing without --kubeconfig: there is no cluster"
                    raise InvalidInput([Problem(flag, "", "", expected, "Add --kubeconfig.")])
        if self.strategy is Strategy.ROLLING:
            for flag, given in (
                ("--canary-pods", self.canary_pods != CANARY_PODS),
                ("--canary-seconds", self.canary_seconds != CANARY_SECONDS),
            ):
                if given:
                    expected = "nothing without --strategy CANARY"
                    raise InvalidInput([Problem(flag, "", "", expected, "Add it.")])
        for flag, value, fits, expected in (
            (
                "--canary-pods",
                self.canary_pods,
                self.canary_pods >= FEWEST_PODS,
                f"at least {FEWEST_PODS}",
            ),
            (
                "--canary-seconds",
                self.canary_seconds,
                FEWEST_SECONDS <= self.canary_seconds <= MOST_SECONDS,
                f"{FEWEST_SECONDS} to {MOST_SECONDS} seconds",
            ),
            ("--timeout", self.timeout, self.timeout >= 1, "at least one second"),
        ):
            if not fits:
                raise InvalidInput([Problem(flag, "", str(value), expected, "Correct it.")])

    async def around(self, place: ContainerPlace) -> ClusterPlace | ContainerPlace:
        """The place that deploys to the cluster what `place` builds; `place` itself without one.

        Raises InvalidInput, also where the cluster could pull from nowhere.
        """
        if self.kubeconfig is None:
            return place
        if place.registry is None:
            expected = "a repository that the cluster pulls from"
            remedy = "Name one that the engine may push to."
            raise InvalidInput([Problem("--registry", "", "", expected, remedy)])
        from pipeline.cluster.work import Settings, as_key
        from pipeline.places.cluster import ClusterPlace
        from pipeline.targets.kubernetes.cluster import Cluster

        text = await self.kubeconfig.plaintext()
        cluster = Cluster.of_text(text, self.context, await self._way(), _room())
        settings = Settings(
            timeout=self.timeout,
            force=self.force_conflicts,
            canary=self.canary_pods if self.strategy is Strategy.CANARY else 0,
            watched=self.canary_seconds,
            key=as_key(await self.api_key.plaintext(), "--api-key") if self.api_key else None,
        )
        return ClusterPlace(place, cluster, place, settings)

    async def _way(self) -> str | None:
        """Where the caller's API server is reached from here."""
        if self.api_server is None:
            return None
        try:
            service = await self.api_server.start()
            return await service.endpoint(scheme="https")
        except dagger.QueryError as error:
            expected = f"a service of the caller's machine ({said_by(error)})"
            raise InvalidInput(
                [Problem("--api-server", "", "", expected, "Name it as tcp://127.0.0.1:PORT.")]
            ) from None

    @property
    def words(self) -> list[str]:
        """The arguments as a command line has them, without what is secret."""
        if self.kubeconfig is None:
            return []
        words = ["--kubeconfig", "KUBECONFIG"]
        if self.context is not None:
            words += ["--context", self.context]
        if self.api_key is not None:
            words += ["--api-key", "API-KEY"]
        if self.api_server is not None:
            words += ["--api-server", "API-SERVER"]
        if self.strategy is Strategy.CANARY:
            words += ["--strategy", self.strategy.name]
            words += ["--canary-pods", str(self.canary_pods)]
            words += ["--canary-seconds", f"{self.canary_seconds:g}"]
        if self.timeout != READY_SECONDS:
            words += ["--timeout", f"{self.timeout:g}"]
        return words + (["--force-conflicts"] if self.force_conflicts else [])


def _room() -> Path:
    """A folder for certificates and their keys, which ends with this process."""
    room = tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None)
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    return Path(room)
