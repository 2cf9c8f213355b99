"""Containers as a place: what stages are given there, and how a release is proved and shipped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagger

from pipeline import rollout
from pipeline.catalog.interface import Catalog, Kind
from pipeline.catalog.remote import RemoteCatalog
from pipeline.errors import EnvironmentFailed
from pipeline.places.containers.catalog import CatalogProgram
from pipeline.places.containers.databases import Databases
from pipeline.places.containers.image import ImageBuilder
from pipeline.places.containers.release import ImageRelease
from pipeline.places.containers.service import ServiceCandidate, confined
from pipeline.places.interface import Built
from pipeline.policy.opa import Opa
from pipeline.record import Outcome, StageReport
from pipeline.runtimes.containers import Containers, said_by
from pipeline.stages import deploy, register, verify
from pipeline.state import State
from pipeline.targets.interface import Served

if TYPE_CHECKING:
    from pipeline.line import Line

PUBLISH = "publish"


@dataclass(frozen=True, slots=True)
class Registry:
    """Where images are published: `address` is a repository, without a tag."""

    address: str
    username: str | None = None
    password: dagger.Secret | None = None

    async def publish(self, image: dagger.Container, tag: str, digest: str) -> str:
        """Push the image; its reference by digest, which must be `digest`, the one scanned.

        Raises EnvironmentFailed.
        """
        host = host_of(self.address)
        if self.password is not None:
            image = image.with_registry_auth(host, self.username or "", self.password)
        try:
            reference = await image.publish(f"{self.address}:{_tag(tag)}")
        except dagger.QueryError as error:
            raise EnvironmentFailed(
                f"The image cannot be published to {self.address}: {said_by(error)}",
                "Check the address, and the credentials (--registry-username, "
                "--registry-password).",
            ) from None
        if not reference.endswith(f"@{digest}"):
            raise EnvironmentFailed(
                f"{reference} was published, which is not the image {digest} that was examined.",
                "The engine has dropped layers in between, and made them anew. Drop the rest of "
                "what it keeps (`dagger core engine local-cache prune`), and call it again.",
            )
        return reference


def host_of(address: str) -> str:
    """The registry's host in a repository's address; Docker Hub's where it names none."""
    first, separator, _ = address.partition("/")
    named = separator and ("." in first or ":" in first or first == "localhost")
    return first if named else "docker.io"


def _tag(version: str) -> str:
    # A tag has no `+`, which a semantic version may have.
    return version.replace("+", "_")


@dataclass
class ContainerPlace:
    """The place with a container engine. `registry` is where a release that was proved goes.

    `known` gives the catalog where this process can keep it by itself; else its program does, which
    `tracking` tells where.
    """

    runtime: Containers
    databases: Databases
    torch_index: str | None = None
    registry: Registry | None = None
    tracking: dagger.Secret | None = None
    known: Callable[[State], Catalog] | None = None
    name: str = field(default="containers", init=False)

    def __post_init__(self) -> None:
        self.engine = Opa(self.runtime)

    def versions(self) -> Mapping[str, str]:
        """The images that tools run in."""
        return {f"image {name}": r for name, r in self.runtime.images.references.items()}

    def catalog(self, state: State) -> Catalog:
        """The catalog by its program where this process has no MLflow."""
        if self.known is not None:
            return self.known(state)
        return RemoteCatalog(CatalogProgram(self.runtime, self.tracking))

    def builder(self, state: State) -> ImageBuilder:
        """Images in the engine."""
        return ImageBuilder(self.runtime, state, self.databases, self.torch_index)

    def reference(self, built: Built) -> str | None:
        """The reference that publishing gives; without a registry one under the model's name."""
        if not isinstance(built, ImageRelease):
            return None
        address = self.registry.address if self.registry else f"{built.namespace}/{built.name}"
        return f"{address}:{_tag(built.version)}@{built.image_digest}"

    @contextlib.asynccontextmanager
    async def deploying(self, line: Line) -> AsyncIterator[None]:
        """Nothing to hold: no traffic moves, and the catalog orders what it is told."""
        yield

    async def deploy(self, line: Line, built: Built) -> Served | None:
        """Prove the image as a service, publish it, tell the catalog."""
        if not isinstance(built, ImageRelease):
            raise TypeError("containers deploy images")
        context = line.open(deploy.NAME)
        event = rollout.event_of(Kind.DEPLOY, line.manifest, built, line.environment, line.record)
        if said := await rollout.taken(line.catalog, event):
            line.keep(said)
            return None

        async def start() -> ServiceCandidate:
            service = await confined(built.container, self.runtime.upload, line.record.id)
            return ServiceCandidate(service, module=self.runtime.upload.module)

        report, candidate = await deploy.run(context, start, built, None)
        if not line.keep(report) or candidate is None:
            return None
        async with candidate:
            report = await verify.run(
                line.open(verify.NAME),
                candidate.client,
                line.manifest,
                built.digest,
                "as a service in the engine",
            )
            if not line.keep(report):
                return None
        reference = await self.published(line, built)
        event = rollout.event_of(Kind.DEPLOY, line.manifest, built, line.environment, line.record)
        event = event.model_copy(update={"digests": event.digests | {"image": built.image_digest}})
        line.keep(await register.run(line.open(register.NAME), line.catalog, event))
        return Served(
            release=built.digest,
            version=built.version,
            url=reference,
            pid=0,
            since=datetime.now(UTC),
            healthy=True,
            record=event.model_dump(mode="json"),
        )

    async def published(self, line: Line, built: Built) -> str:
        """The image's reference in the registry, or its digest where there is none."""
        if not isinstance(built, ImageRelease):
            raise TypeError("containers publish images")
        if self.registry is None:
            return built.image_digest
        context = line.open(PUBLISH)
        began = time.monotonic()
        context.progress.step(f"pushing to {self.registry.address}")
        reference = await self.registry.publish(built.container, built.version, built.image_digest)
        line.keep(
            StageReport(
                stage=PUBLISH,
                outcome=Outcome.PASSED,
                summary=reference,
                inputs={"image": built.image_digest},
                outputs={"reference": reference},
                seconds=time.monotonic() - began,
            )
        )
        return reference
