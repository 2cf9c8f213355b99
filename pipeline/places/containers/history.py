"""What the engine tells of its layers, which it writes into every image.

An image's history says of each layer when it was made and by what. An engine that was started again
knows neither of the layers that it kept (`engine/snapshots/manager.go` of Dagger v0.21.8), but
keeps the archives that it made of them as well. What it publishes is then another image than the
one in the archive, of the same layers.
"""

from __future__ import annotations

import json
import secrets
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import anyio.to_thread
import dagger
from dagger import dag

from pipeline import digest

# Neither is ever in the image.
TOLD, ASKED = "MLIFECYCLE_HISTORY", "MLIFECYCLE_ASKED"


async def told_now(container: dagger.Container, name: str) -> dagger.Container:
    """The same image, whose archive is made anew once the engine tells another history of it.

    `name` is the image's: a layer of its own is made beside its layers, is kept and forgotten like
    them, and small enough to be asked every time.
    """
    layer = dag.container().with_new_file("/name", name)
    archive = layer.with_env_variable(ASKED, secrets.token_hex(8)).as_tarball()
    with tempfile.TemporaryDirectory(prefix="mlifecycle-history-") as room:
        file = Path(room) / "archive"
        await archive.export(str(file))
        history = await anyio.to_thread.run_sync(_history, file)
    key = digest.of_json(history)
    return container.with_env_variable(TOLD, key).without_env_variable(TOLD)


def _history(archive: Path) -> Any:
    """The history in the configuration of the one image in an OCI archive."""
    with tarfile.open(archive) as files:

        def blob(name: str) -> Any:
            member = files.extractfile(name)
            return json.load(member) if member else {}

        def named(described: Any) -> Any:
            return blob("blobs/" + described["digest"].replace(":", "/"))

        manifest = named(blob("index.json")["manifests"][0])
        return named(manifest["config"])["history"]
