"""A release's image, and what can be done with it."""

from __future__ import annotations

from typing import Annotated

import dagger
from dagger import Doc

from pipeline.functions.arguments import SbomFormat
from pipeline.functions.errors import in_words
from pipeline.functions.running import Session, yes
from pipeline.functions.scan_report import ScanReport
from pipeline.functions.sdk import field, function, object_type
from pipeline.functions.settings import Settings
from pipeline.places.containers.place import Registry, host_of
from pipeline.places.containers.service import PORT
from pipeline.release import Goal


@object_type
class Image:
    """The inference image of one release, built and not yet published."""

    container: dagger.Container = field()
    """The image as a container"""
    tarball: dagger.File = field()
    """The image as an OCI archive, which `docker load` takes as well"""
    digest: str = field()
    """The digest of its manifest, under which it is published"""
    release: str = field()
    """The digest of the release, which the server in it answers with"""
    version: str = field()
    """The model's version"""
    manifest: dagger.File
    settings: Settings

    @function()
    async def sbom(
        self,
        format: Annotated[SbomFormat, Doc("The form of it")] = SbomFormat.CYCLONEDX,  # noqa: A002
    ) -> dagger.File:
        """The bill of materials of what is installed in it."""
        async with in_words():
            ran = yes(await Session.open(self.settings).run(self.manifest, Goal.SBOM))
            return await ran.sbom(format)

    @function(cache="never")
    async def scan(self) -> ScanReport:
        """Scan it with every scanner, as an archive, before anybody can pull it."""
        async with in_words():
            ran = await Session.open(self.settings).run(self.manifest, Goal.SCAN)
            return await ScanReport.of(ran)

    @function(cache="never")
    async def publish(
        self,
        address: Annotated[
            str | None, Doc("The repository; the constructor's registry by default")
        ] = None,
    ) -> str:
        """Push it, and give its reference by digest. Nothing is judged here: scan it first."""
        async with in_words():
            settings, destination = self.settings, self.settings.destination(address)
            # The credentials are for the constructor's registry, and go to no other host.
            known = host_of(destination) == host_of(settings.registry or "")
            registry = Registry(
                destination,
                settings.registry_username if known else None,
                settings.registry_password if known else None,
            )
            return await registry.publish(self.container, self.version, self.digest)

    @function()
    def serve(self) -> dagger.Service:
        """Run it: `up --ports 8080:8000`, then ask http://localhost:8080/predict."""
        return self.container.with_exposed_port(PORT).as_service(use_entrypoint=True)
