"""The build of an image, and what is asked of it before anything else may be."""

from __future__ import annotations

import functools
import secrets
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import anyio.to_thread
import dagger
import packaging
from dagger import dag

import pipeline
from pipeline import batching as batchings
from pipeline.batching import Batching
from pipeline.errors import EnvironmentFailed
from pipeline.examination import Examination
from pipeline.lockfile import Lock
from pipeline.manifest import Manifest
from pipeline.places.containers.databases import Databases
from pipeline.places.containers.history import told_now
from pipeline.places.containers.release import ImageRelease, Recipe, lay_out
from pipeline.places.interface import Built, Made, Refused
from pipeline.program import Program
from pipeline.progress import Progress
from pipeline.runtimes.containers import Containers, HeldFile, HeldFolder, said_by
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.state import State
from pipeline.tools import converter, uv
from pipeline.tools.interface import IMAGE

ENVIRONMENT = "environment"
# As serving/Dockerfile calls what it may be lent.
NETRC, CERTIFICATES = "netrc", "certificates"
CONVERTER = PurePosixPath("/opt/converter")
# As the Dockerfile ends when packages miss what they require.
INCOMPLETE = "the lock is not complete"
KEPT = 24 * 3600.0  # seconds, for a build's context
# Two images of the same content have the same times: those of the epoch.
EPOCH = "0"

# Prints the digest of the manifest of the one image in an OCI archive.
_MANIFEST = """\
import json, sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    index = json.load(archive.extractfile("index.json"))
print(index["manifests"][0]["digest"])
"""


@dataclass(frozen=True, slots=True)
class ImageBuilder:
    """Builds images with the release's own Dockerfile.

    `torch_index` is an index beside the default one, such as one with CPU builds of torch.
    """

    runtime: Containers
    state: State
    vulnerabilities: Databases
    torch_index: str | None = None

    async def converted(self, call: Invocation, progress: Progress) -> Outcome:
        """In a container with the converter's lock."""
        progress.step("installing the converter")
        container = await self.runtime.installed(converter.LOCK, CONVERTER, self.torch_index)
        return await self.runtime.run_in(container, str(CONVERTER / "bin" / "python"), call)

    async def build(
        self, manifest: Manifest, program: Program, lock: Lock, progress: Progress
    ) -> Made:
        """The image of a release. What of it was built before comes from the engine's cache."""
        progress.step(f"building the image with {len(lock.active)} packages")
        batching = await self._batching(manifest, program, lock, progress)
        lay_out = functools.partial(self._laid_out, manifest, program, batching, lock)
        recipe = await anyio.to_thread.run_sync(lay_out)
        container = await self.container(recipe)
        try:
            await container.sync()
        except dagger.QueryError as error:
            raise _failure(error) from error
        progress.step("writing the image's archive")
        container = await told_now(container, recipe.digest)
        archive = container.as_tarball()
        name = await self._digest(archive)
        environment = HeldFolder(
            container.directory("/environment"), await container.directory("/environment").digest()
        )
        progress.step("looking at what is installed")
        root = container.rootfs()
        seen = await self._examined(environment)
        release = ImageRelease(
            recipe=recipe,
            inventory=seen.inventory,
            installed=HeldFolder(root, name),
            image={IMAGE: HeldFile(archive, name)},
            image_digest=name,
            environment=environment,
            container=container,
        )
        return Made(release, batching, reused=False)

    async def examine(self, built: Built) -> Examination:
        """Look at the image's environment with the image's own Python."""
        if not isinstance(built, ImageRelease):
            raise TypeError("containers have images")
        return await self._examined(built.environment)

    async def databases(self, built: Built, progress: Progress) -> Mapping[str, Input]:
        """Both databases, as far as they can be had."""
        return await self.vulnerabilities.inputs(progress)

    async def container(self, recipe: Recipe) -> dagger.Container:
        """The image that the recipe describes; nothing is built before it is asked for."""
        context = await self.runtime.upload.folder(recipe.folder)
        arguments = {
            "BASE": self.runtime.images.python.reference,
            "UV": self.runtime.images.uv.reference,
            "RELEASE_DIGEST": recipe.digest,
            "MODEL_NAME": recipe.name,
            "MODEL_VERSION": recipe.version,
            "SOURCE_DATE_EPOCH": EPOCH,
            **recipe.labels,
        }
        if self.runtime.package_index:
            arguments["PACKAGE_INDEX"] = self.runtime.package_index
        if self.torch_index:
            arguments["TORCH_INDEX"] = self.torch_index
        lent = []
        if self.runtime.netrc is not None:
            # The Dockerfile knows a secret by its name, which the caller's has of its own.
            lent.append(dag.set_secret(NETRC, await self.runtime.netrc.plaintext()))
        if self.runtime.certificates is not None:
            lent.append(dag.set_secret(CERTIFICATES, await self.runtime.certificates.contents()))
        image = context.docker_build(
            target=recipe.target,
            build_args=[dagger.BuildArg(name, value) for name, value in arguments.items()],
            secrets=lent,
        )
        for name in (NETRC, CERTIFICATES):
            # What the build was lent stays mounted in the container that it gives.
            image = image.without_mount(f"/run/secrets/{name}")
        return image

    async def _batching(
        self, manifest: Manifest, program: Program, lock: Lock, progress: Progress
    ) -> Batching:
        """What the manifest states, or what a measurement in an image of the release says.

        The engine keeps the result for as long as it keeps the image.
        """
        if (stated := batchings.stated(manifest)) is not None:
            return stated
        lay_out = functools.partial(self._laid_out, manifest, program, batchings.UNDECIDED, lock)
        image = await self.container(await anyio.to_thread.run_sync(lay_out))
        try:
            await image.sync()
        except dagger.QueryError as error:
            raise _failure(error) from error
        progress.step("measuring how the model is best asked")
        call = Invocation(
            tool="measure",
            command="measure",
            arguments=(*batchings.ARGUMENTS, "/release"),
            timeout=batchings.TIMEOUT,
        )
        return batchings.measured(await self.runtime.run_in(image, "/environment/bin/python", call))

    def _laid_out(
        self, manifest: Manifest, program: Program, batching: Batching, lock: Lock
    ) -> Recipe:
        images = self.runtime.images
        return lay_out(
            manifest,
            program,
            batching,
            lock.data,
            {"python": images.python.reference, "uv": images.uv.reference},
            _room(self.state.root / "images"),
        )

    async def _digest(self, archive: dagger.File) -> str:
        # Not by its own digest: to find that, the engine would read all of it.
        call = Invocation(
            tool="python",
            command="python",
            arguments=("-I", "-c", _MANIFEST, IMAGE),
            inputs={IMAGE: HeldFile(archive, "")},
            timeout=1800,
        )
        outcome = await self.runtime.run(call)
        name = outcome.stdout.strip()
        if outcome.exit_code or not name.startswith("sha256:"):
            raise EnvironmentFailed(f"The image's archive cannot be read: {outcome.stderr.strip()}")
        return name

    async def _examined(self, environment: Input) -> Examination:
        ours = Path(pipeline.__file__).parent
        call = Invocation(
            tool="python",
            command="python",
            arguments=("-m", "pipeline.examination", ENVIRONMENT, "examination.json"),
            inputs={
                ENVIRONMENT: environment,
                "code/packaging": Path(packaging.__file__).parent,
                **{
                    f"code/pipeline/{name}": ours / name
                    for name in (
                        *("__init__.py", "digest.py", "errors.py"),
                        *("examination.py", "inventory.py"),
                    )
                },
            },
            outputs=("examination.json",),
            environment={"PYTHONPATH": "code", "PYTHONDONTWRITEBYTECODE": "1"},
            timeout=900,
        )
        outcome = await self.runtime.run(call)
        try:
            return Examination.from_bytes(outcome.files["examination.json"])
        except (KeyError, ValueError) as error:
            raise EnvironmentFailed(
                f"The image's environment cannot be examined: {outcome.stderr.strip() or error}"
            ) from None


def _room(folder: Path) -> Path:
    """A new folder's name. What runs of days past left there is removed: a model is large."""
    for old in folder.glob("*"):
        if time.time() - old.stat().st_mtime > KEPT:
            shutil.rmtree(old, ignore_errors=True)
    return folder / secrets.token_hex(8)


def _failure(error: dagger.QueryError) -> Exception:
    """Why an image was not built: the lock and the index disagree, or something failed."""
    said = said_by(error)
    if isinstance(error, dagger.ExecError):
        said = uv.complaint(Outcome(error.exit_code, error.stdout, error.stderr))
    if "Hash mismatch" in said:
        return Refused("BLD-ENV-001", said)
    if isinstance(error, dagger.ExecError) and INCOMPLETE in error.stderr:
        return Refused("BLD-ENV-002", said)
    return EnvironmentFailed(
        f"The image could not be built: {said}",
        "Check the package index, the network and the engine's free space.",
    )
