"""A release in an image: what the image is built from, and what is known of it once it is.

The build context is a folder like a release folder, without an environment: the image installs
the lock itself (`serving/Dockerfile`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import digest, resources
from pipeline.batching import Batching
from pipeline.inventory import Inventory
from pipeline.manifest import Manifest
from pipeline.program import Lane, Program
from pipeline.release_folder import LOCK, SERVER, server_digest, server_files, settings_of
from pipeline.runtimes.interface import Input

if TYPE_CHECKING:
    import dagger

DOCKERFILE = "Dockerfile"
TARGETS = {Lane.TORCH: "torch-cpu", Lane.ONNX: "onnx"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image is built from, laid out in `folder`; `digest` is the release's.

    `labels` are the Dockerfile's arguments that say what decided the lane and the batch mode. They
    are no part of the release: to measure twice never gives the same.
    """

    folder: Path
    digest: str
    name: str
    namespace: str
    version: str
    manifest_digest: str
    model_digest: str
    lock_digest: str
    server_digest: str
    settings_digest: str
    environment_digest: str
    lane: str
    program_digest: str
    batching: str
    labels: Mapping[str, str]
    transform_digest: str = ""

    @property
    def target(self) -> str:
        """The stage of the Dockerfile that makes its image."""
        return TARGETS[Lane(self.lane)]

    @property
    def lock(self) -> Path:
        """The hash lock that the image installs."""
        return self.folder / LOCK

    @property
    def server(self) -> Path:
        """The server's sources."""
        return self.folder / SERVER


@dataclass(frozen=True, slots=True)
class ImageRelease:
    """A release whose image was built. `reference` names it where it was published."""

    recipe: Recipe
    inventory: Inventory
    installed: Input
    image: Mapping[str, Input]
    image_digest: str
    environment: Input
    container: dagger.Container

    @property
    def digest(self) -> str:
        return self.recipe.digest

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def namespace(self) -> str:
        return self.recipe.namespace

    @property
    def version(self) -> str:
        return self.recipe.version

    @property
    def manifest_digest(self) -> str:
        return self.recipe.manifest_digest

    @property
    def model_digest(self) -> str:
        return self.recipe.model_digest

    @property
    def lock_digest(self) -> str:
        return self.recipe.lock_digest

    @property
    def server_digest(self) -> str:
        return self.recipe.server_digest

    @property
    def settings_digest(self) -> str:
        return self.recipe.settings_digest

    @property
    def environment_digest(self) -> str:
        return self.recipe.environment_digest

    @property
    def lane(self) -> str:
        return self.recipe.lane

    @property
    def program_digest(self) -> str:
        return self.recipe.program_digest

    @property
    def transform_digest(self) -> str:
        return self.recipe.transform_digest

    @property
    def lock(self) -> Path:
        return self.recipe.lock

    @property
    def server(self) -> Path:
        return self.recipe.server

    @property
    def outputs(self) -> Mapping[str, str]:
        """The image's digest: that of its manifest, under which it is published."""
        return {"image": self.image_digest}


def lay_out(
    manifest: Manifest, program: Program, batching: Batching, lock: bytes,
    images: Mapping[str, str], folder: Path,
) -> Recipe:  # fmt: skip
    """Put the build context into `folder`, which must not exist.

    `images` are the images that the build starts from, by name: they shape the environment, and so
    are part of its identity and the release's.
    """
    settings = settings_of(manifest, program, batching.mode)
    dockerfile = resources.folder("serving") / DOCKERFILE
    metadata, version = manifest.model.metadata, manifest.model.spec.model.version
    facts = {
        "name": metadata.name,
        "namespace": metadata.namespace,
        "version": version,
        "manifest_digest": manifest.digest,
        "model_digest": program.model_digest,
        "lock_digest": digest.of_bytes(lock),
        "server_digest": server_digest(),
        "settings_digest": digest.of_bytes(settings),
        "environment_digest": digest.of_json(
            {
                "lock": digest.of_bytes(lock),
                "dockerfile": digest.of_file(dockerfile),
                "images": dict(images),
            }
        ),
        "lane": program.lane.value,
        "program_digest": program.digest,
        "batching": batching.mode,
        "transform_digest": program.transform_digest,
    }
    described = (json.dumps({"format": 1, **facts}, indent=1, sort_keys=True) + "\n").encode()
    folder.mkdir(parents=True)
    for name, data in (
        ("release.json", described),
        ("settings.json", settings),
        ("manifest.yaml", manifest.data),
        (LOCK, lock),
        (DOCKERFILE, dockerfile.read_bytes()),
    ):
        (folder / name).write_bytes(data)
    files = dict(program.files)
    files |= {f"{SERVER}/serving/{name}": path for name, path in server_files().items()}
    for name, source in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
    for path in (folder, *folder.rglob("*")):
        # Whoever made the file and with which umask must not show in the image.
        path.chmod(0o755 if path.is_dir() else 0o644)
    labels = {
        "LANE": f"{program.lane}: {program.chosen}",
        "BATCHING": f"{batching.mode}: {batching.decided}",
    }
    return Recipe(folder=folder, digest=digest.of_bytes(described), labels=labels, **facts)
