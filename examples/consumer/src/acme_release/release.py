"""The team's release. `dag.mlifecycle` and its types are generated from the module's functions."""

from __future__ import annotations

from typing import Annotated

import dagger
from dagger import Doc, dag, function, object_type

NAME = "org.opencontainers.image.title"
CLIENT = "python:3.11-slim"

Manifest = Annotated[dagger.File, Doc("The model manifest")]


@object_type
class AcmeRelease:
    """What the team adds to the pipeline."""

    source: Annotated[dagger.Directory, Doc("The folder with the manifest and its model")]
    images: Annotated[
        dagger.File | None, Doc("Other images for the pipeline's tools, as mlifecycle takes them")
    ] = None

    # The SDK's overloads leave `cache` out.
    @function(cache="never")  # type: ignore[call-overload, untyped-decorator]
    async def release(
        self,
        manifest: Manifest,
        address: Annotated[str, Doc("The repository that the image goes to, under its version")],
    ) -> str:
        """Publish the model's image if all say yes: pipeline, own test and scan; its address."""
        image = self._image(manifest)
        await self._tested(image)
        report = image.scan()
        if not await report.passed():
            raise ValueError(await report.summary())
        return await image.publish(address=address)

    @function
    async def test(self, manifest: Manifest) -> str:
        """Ask the model's server, from a container of our own, what it is and whether it is ready.

        The name that it gives itself must be the one on the image's label.
        """
        return await self._tested(self._image(manifest))

    @function
    def findings(self, manifest: Manifest) -> dagger.File:
        """What the scanners found in the image, as SARIF."""
        return self._image(manifest).scan().report(format=dagger.MlifecycleReportFormat.SARIF)

    def _image(self, manifest: dagger.File) -> dagger.MlifecycleImage:
        environment = dagger.MlifecycleEnvironment.DEV
        pipeline = dag.mlifecycle(source=self.source, environment=environment, images=self.images)
        return pipeline.build(manifest)

    async def _tested(self, image: dagger.MlifecycleImage) -> str:
        name = await image.container().label(NAME) or "nothing"
        script = dag.current_module().source().file("server_test.py")
        client = (
            dag.container()
            .from_(CLIENT)
            .with_file("/server_test.py", script)
            .with_service_binding("model", image.serve())
            .with_exec(["python", "/server_test.py", "http://model:8000", name])
        )
        return await client.stdout()
