"""The container place for a program on somebody's machine: it opens the session with the engine."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import dagger
from dagger import dag

from pipeline.catalog.interface import Catalog
from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.places.containers.addresses import check_address
from pipeline.places.containers.databases import Databases
from pipeline.places.containers.place import ContainerPlace, Registry
from pipeline.runtimes.containers import Containers, Upload, said_by
from pipeline.state import State
from pipeline.tools import images

CLI = "_EXPERIMENTAL_DAGGER_CLI_BIN"
PASSWORD = "MLIFECYCLE_REGISTRY_PASSWORD"  # noqa: S105 - a variable's name
NETRC = "NETRC"


@dataclass(frozen=True, slots=True)
class Options:
    """What `--runtime dagger` takes.

    The registry's password is in the variable `PASSWORD`, what indexes ask for in the file that
    the variable `NETRC` names.
    """

    registry: str | None = None
    registry_username: str | None = None
    images: Path | None = None
    package_index: str | None = None
    torch_index: str | None = None
    trivy_db: Path | None = None
    grype_db: Path | None = None


@asynccontextmanager
async def connected(options: Options) -> AsyncIterator[ContainerPlace]:
    """A place on the engine that `dagger` finds. Raises InvalidInput and EnvironmentFailed."""
    check_address("the package index", options.package_index)
    check_address("MLIFECYCLE_TORCH_INDEX", options.torch_index)
    pins = images.PINNED
    if options.images is not None:
        pins = images.load(options.images.read_text(encoding="utf-8"), str(options.images))
    if CLI not in os.environ and (program := shutil.which("dagger")):
        # Else the SDK downloads a command line of its own.
        os.environ[CLI] = program
    try:
        connection = dagger.connection(dagger.Config(load_workspace_modules=False))
        await connection.__aenter__()
    except (dagger.DaggerError, OSError) as error:
        raise EnvironmentFailed(
            f"No container engine answers: {' '.join(str(error).split())[:500]}",
            "Start Docker, or set _EXPERIMENTAL_DAGGER_RUNNER_HOST to an engine; without one use "
            "--runtime host.",
        ) from None
    try:
        yield _place(options, pins)
    except dagger.DaggerError as error:
        raise EnvironmentFailed(f"The engine says: {said_by(error)}") from error
    finally:
        await connection.__aexit__(None, None, None)


def _place(options: Options, pins: images.Images) -> ContainerPlace:
    netrc = os.environ.get(NETRC)
    if netrc and not Path(netrc).is_file():
        expected = "a file with the credentials of package indexes"
        raise InvalidInput([Problem(NETRC, "", netrc, expected, "Name another, or unset it.")])
    runtime = Containers(
        pins,
        Upload(module=False),
        options.package_index,
        netrc=dag.secret(f"file:{Path(netrc).absolute()}") if netrc else None,
    )
    registry = None
    if options.registry:
        password = os.environ.get(PASSWORD)
        registry = Registry(
            options.registry,
            options.registry_username,
            dag.set_secret("mlifecycle-registry", password) if password else None,
        )
    given = {
        name: dag.host().file(str(path.absolute()))
        for name, path in (("trivy", options.trivy_db), ("grype", options.grype_db))
        if path is not None
    }
    databases = Databases(
        runtime, trivy_archive=given.get("trivy"), grype_archive=given.get("grype")
    )
    return ContainerPlace(runtime, databases, options.torch_index, registry, known=_catalog)


def _catalog(state: State) -> Catalog:
    """The same as the host's: this process has MLflow."""
    from pipeline.catalog.registry import MlflowCatalog

    return MlflowCatalog(state)
