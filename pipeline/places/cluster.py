"""A cluster as the place that a release goes to; where the tools run, another place decides."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipeline import rollout
from pipeline.catalog.interface import Catalog, Kind
from pipeline.cluster.rollout import ClusterRollout
from pipeline.cluster.work import Settings, require_key
from pipeline.image_reference import parse
from pipeline.places.interface import Builder, Built, Images, Place
from pipeline.policy.interface import Engine
from pipeline.runtimes.interface import Runtime
from pipeline.stages import render
from pipeline.state import State
from pipeline.targets.interface import Served
from pipeline.targets.kubernetes import lease
from pipeline.targets.kubernetes.cluster import Cluster
from pipeline.targets.kubernetes.journal import Records, Revision

if TYPE_CHECKING:
    from pipeline.line import Line


@dataclass(frozen=True, slots=True)
class GivenImage:
    """An image by digest that was built of the manifest, and pushed, before."""

    image: str

    def reference(self, built: Built) -> str | None:
        """The image."""
        return self.image

    async def published(self, line: Line, built: Built) -> str:
        """The image: it is there."""
        return self.image


@dataclass
class ClusterPlace:
    """Works as `inner` does, and deploys to a cluster, which pulls from `images`."""

    inner: Place
    cluster: Cluster
    images: Images
    settings: Settings = field(default_factory=Settings)

    @property
    def name(self) -> str:
        """As records have it."""
        return self.inner.name

    @property
    def runtime(self) -> Runtime:
        return self.inner.runtime

    @property
    def engine(self) -> Engine:
        return self.inner.engine

    def versions(self) -> Mapping[str, str]:
        """What decides a run's results, and where they go."""
        return {**self.inner.versions(), "context": self.cluster.context}

    def catalog(self, state: State) -> Catalog:
        """As of the place inside."""
        return self.inner.catalog(state)

    def builder(self, state: State) -> Builder:
        """As of the place inside."""
        return self.inner.builder(state)

    def reference(self, built: Built) -> str | None:
        """The image that the objects name."""
        return self.images.reference(built)

    @contextlib.asynccontextmanager
    async def deploying(self, line: Line) -> AsyncIterator[None]:
        """Ask the cluster for something before minutes are spent on building.

        Deploys follow each other by a Lease in the cluster, which is held only where it is changed.
        """
        require_key(line.manifest, self.settings.key)
        self.cluster.told = lambda message: line.observer.step("validate", message)
        await self.cluster.kind("apps/v1", "Deployment")
        yield

    async def deploy(self, line: Line, built: Built) -> Served | None:
        """Let the cluster roll the image out, verified or taken back."""
        image = await self.images.published(line, built)
        event = rollout.event_of(Kind.DEPLOY, line.manifest, built, line.environment, line.record)
        event = event.model_copy(
            update={
                "digests": event.digests | {"image": _digest(image)},
                "context": self.cluster.context,
            }
        )
        change = ClusterRollout(
            self.cluster,
            Records(self.cluster, built.namespace, built.name),
            line.catalog,
            line.open,
            line.keep,
            replace(self.settings, wait=line.wait, may_lack=may_lack(line)),
        )
        objects = (line.folder / render.OBJECTS).read_bytes()
        return await change.run(
            Revision(objects, line.manifest.data, event, image),
            line.manifest,
            None,
            lease.holder(line.record.id),
        )


def _digest(image: str) -> str:
    parsed = parse(image)
    if parsed is None:
        raise ValueError(f"{image} has no digest")
    return parsed.digest


def may_lack(line: Line) -> frozenset[str]:
    """The kinds that the environment lets be where a cluster does not know them; else none."""
    settings = line.bundle.data["mlifecycle"]["environments"].get(line.environment.value, {})
    found = settings.get("cluster", {})
    kinds = found.get("may_lack", ()) if isinstance(found, dict) else ()
    return frozenset(kind for kind in kinds if isinstance(kind, str))
