"""The scanners' vulnerability databases: fetched in a step of their own, or given as files.

Where one cannot be had, the scan goes on without it: the scanner then says so, and the policy
decides whether that is a no.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import dagger
from dagger import dag

from pipeline import digest
from pipeline.errors import InvalidInput, Problem
from pipeline.progress import Progress
from pipeline.runtimes.containers import (
    SERVICE_MINUTES,
    Containers,
    HeldFile,
    HeldFolder,
    said_by,
    slot,
)
from pipeline.runtimes.interface import Input
from pipeline.tools import grype, trivy

# Both are built anew every few hours; what was fetched is used for so long.
HOURS = 6
FETCHED = "/fetched"
VOLUME = "/databases"


class Unavailable(Exception):
    """A database could not be fetched."""


@dataclass(frozen=True, slots=True)
class Databases:
    """Where the two databases come from.

    `trivy_archive` is what `trivy` has in its registry's layer (`trivy.db` and `metadata.json` in
    a gzipped tar), `grype_archive` what `grype db import` takes. `trivy_repository` names another
    registry than trivy's own.
    """

    runtime: Containers
    trivy_archive: dagger.File | None = None
    trivy_repository: str | None = None
    grype_archive: dagger.File | None = None

    async def inputs(self, progress: Progress) -> dict[str, Input]:
        """The databases by the names that the scanners read them under, as far as there are any."""
        found: dict[str, Input] = {}
        progress.step("fetching the vulnerability databases")

        await self._check()

        async def have(fetch: Callable[[], Awaitable[dict[str, Input]]]) -> None:
            try:
                found.update(await fetch())
            except (dagger.QueryError, Unavailable) as error:
                progress.step(f"a vulnerability database cannot be had: {said_by(error)[:200]}")

        async with anyio.create_task_group() as group:
            group.start_soon(have, self._trivy)
            group.start_soon(have, self._grype)
        return found

    async def _check(self) -> None:
        """Raise InvalidInput for a given file that is no database: it was meant to be used."""
        for flag, archive, read in (
            ("--trivy-db", self.trivy_archive, self._trivy),
            ("--grype-db", self.grype_archive, self._grype),
        ):
            if archive is None:
                continue
            try:
                await read()
            except dagger.QueryError as error:
                expected = "a vulnerability database in the form that docs/dagger.md describes"
                problem = Problem(
                    flag, await archive.name(), "", expected, f"It is refused: {said_by(error)}"
                )
                raise InvalidInput([problem]) from None

    async def _trivy(self) -> dict[str, Input]:
        if self.trivy_archive is not None:
            image = self.runtime.images.python.reference
            unpacked = (
                dag.container()
                .from_(image)
                .with_user("0")
                .with_mounted_file("/archive", self.trivy_archive)
                .with_exec(
                    ["python", "-m", "tarfile", "-e", "/archive", f"{FETCHED}/db"],
                )
            )
            folder = unpacked.directory(FETCHED)
        else:
            folder = await self._fetched(
                "trivy",
                ["image", "--download-db-only", "--no-progress", "--cache-dir", VOLUME]
                + (["--db-repository", self.trivy_repository] if self.trivy_repository else []),
            )
        database, metadata = folder.file("db/trivy.db"), folder.file("db/metadata.json")
        return {
            trivy.DATABASE: HeldFile(database, await metadata.digest()),
            trivy.METADATA: HeldFile(metadata, await metadata.digest()),
        }

    async def _grype(self) -> dict[str, Input]:
        if self.grype_archive is not None:
            image = self.runtime.images.by_name["grype"]
            name = await self.grype_archive.name()
            imported = (
                dag.container()
                .from_(image.reference)
                .with_user("0")
                .with_mounted_temp("/tmp")  # noqa: S108
                .with_mounted_file(f"/given/{name}", self.grype_archive)
                .with_env_variable("GRYPE_DB_CACHE_DIR", FETCHED)
                .with_env_variable("GRYPE_DB_VALIDATE_AGE", "false")
                .with_env_variable("GRYPE_CHECK_FOR_APP_UPDATE", "false")
                .with_exec([image.program, "db", "import", f"/given/{name}"])
            )
            folder = imported.directory(FETCHED)
        else:
            folder = await self._fetched("grype", ["db", "update"])
        return {grype.DATABASE: HeldFolder(folder, await folder.digest())}

    async def _fetched(self, tool: str, arguments: list[str]) -> dagger.Directory:
        """Bring the tool's database up to date in a volume that one step at a time may use.

        It is then copied out of the volume, so that what is scanned with has a digest and no later
        step can change it.
        """
        image = self.runtime.images.by_name[tool]
        # One for each source: what another one holds is not what was asked for.
        source = digest.short(digest.of_json(arguments))
        volume = dag.cache_volume(f"mlifecycle-{tool}-database-{source}")
        prepared = (
            self.runtime.trusting(dag.container().from_(image.reference))
            .with_user("0")
            .with_mounted_temp("/tmp")  # noqa: S108
            .with_mounted_cache(VOLUME, volume, sharing=dagger.CacheSharingMode.LOCKED)
            .with_env_variable("GRYPE_DB_CACHE_DIR", VOLUME)
            .with_env_variable("GRYPE_CHECK_FOR_APP_UPDATE", "false")
            .with_env_variable("MLIFECYCLE_FETCHED", slot(HOURS * 60))
        )
        # A failure is kept as well, for to find an address out of reach takes a while each time;
        # but not for as long as a database that was had.
        call = [image.program, *arguments]
        updated = prepared.with_exec(call, expect=dagger.ReturnType.ANY)
        if await updated.exit_code():
            again = prepared.with_env_variable("MLIFECYCLE_TRIED", slot(SERVICE_MINUTES))
            updated = again.with_exec(call, expect=dagger.ReturnType.ANY)
        if await updated.exit_code():
            said = (await updated.stderr() or await updated.stdout()).strip().splitlines()
            raise Unavailable(f"{tool} says: {said[-1] if said else 'nothing'}")
        # The tool's image may have no shell to copy with.
        copied = (
            dag.container()
            .from_(self.runtime.images.python.reference)
            .with_user("0")
            .with_mounted_cache(VOLUME, volume, sharing=dagger.CacheSharingMode.LOCKED)
            .with_env_variable("MLIFECYCLE_FETCHED", await updated.stderr())
            .with_env_variable("MLIFECYCLE_AT", slot(HOURS * 60))
            .with_exec(
                [
                    *("python", "-I", "-c"),
                    "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2])",
                    *(VOLUME, FETCHED),
                ]
            )
        )
        return copied.directory(FETCHED)
