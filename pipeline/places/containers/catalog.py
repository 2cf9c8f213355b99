"""The catalog, asked and told by its own program in a container.

Without an address it is a database in a volume of the engine, which one step at a time may use:
good for one engine that lives on. Teams give the address of their MLflow.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import dagger
from dagger import dag

from pipeline import resources
from pipeline.errors import EnvironmentFailed
from pipeline.runtimes.containers import Containers, said_by

PLACE = PurePosixPath("/opt/mlifecycle")
VOLUME = "mlifecycle-catalog"
STATE = "/catalog"


@dataclass(frozen=True, slots=True)
class CatalogProgram:
    """Calls `python -m pipeline.catalog`. `address` is an MLflow tracking URI."""

    runtime: Containers
    address: dagger.Secret | None = None

    async def __call__(self, arguments: Sequence[str], files: Mapping[str, str]) -> tuple[int, str]:
        """Run the program now, whatever was run before; its exit code and what it printed."""
        container = await self.runtime.installed("pipeline.txt", PLACE)
        try:
            await container.sync()
        except dagger.QueryError as error:
            raise EnvironmentFailed(
                f"The catalog's program cannot be installed: {said_by(error)}",
                "Check the network, or name an index that can be reached with --package-index.",
            ) from None
        sources = await self.runtime.upload.folder(resources.package())
        container = (
            container.with_mounted_directory("/sources/pipeline", sources)
            .with_env_variable("PYTHONPATH", "/sources")
            .with_env_variable("PYTHONDONTWRITEBYTECODE", "1")
            .with_mounted_temp("/tmp")  # noqa: S108
            .with_workdir("/work")
        )
        if self.address is None:
            volume = dag.cache_volume(VOLUME)
            container = container.with_mounted_cache(
                STATE, volume, sharing=dagger.CacheSharingMode.LOCKED
            )
        else:
            container = container.with_secret_variable("MLFLOW_TRACKING_URI", self.address)
        for name, content in files.items():
            container = container.with_new_file(f"/work/{name}", content)
        container = container.with_env_variable("MLIFECYCLE_NONCE", secrets.token_hex(16))
        ran = container.with_exec(
            [f"{PLACE}/bin/python", "-m", "pipeline.catalog", "--state", STATE, *arguments],
            expect=dagger.ReturnType.ANY,
        )
        try:
            return await ran.exit_code(), await ran.stdout()
        except dagger.QueryError as error:
            raise EnvironmentFailed(
                f"The catalog cannot be asked: {said_by(error)}",
                "Check the address of the catalog, and the network of the engine's containers.",
            ) from None
