"""A release's image as a service inside the engine: the target that proves it and keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dagger
from dagger import dag

from pipeline.errors import EnvironmentFailed
from pipeline.places.containers import confine
from pipeline.runtimes.containers import Upload, said_by
from pipeline.targets.http import HttpClient
from pipeline.targets.interface import CandidateFailed, Client

PORT = 8000
PAUSE = 0.2  # seconds between two questions whether it is ready
CONFINE = "/confine.py"


async def confined(image: dagger.Container, upload: Upload, run: str) -> dagger.Service:
    """The image as a service with what it would have in a cluster.

    Its root is read-only, `/tmp` is empty and writable, its user is the image's number, and it has
    no privileges and cannot get any. `run` makes it a service of this run's own.
    """
    user, _, group = (await image.user()).partition(":")
    if not (user.isdigit() and (group or user).isdigit()):
        raise EnvironmentFailed(
            f"The image's user is {user!r}: a cluster cannot see that it is not root.",
            "Give serving/Dockerfile a USER that is a number.",
        )
    if user == "0":
        raise EnvironmentFailed("The image's user is root.", "Give serving/Dockerfile a USER.")
    command = [*await image.entrypoint(), *await image.default_args()]
    script = await upload.file(Path(confine.__file__))
    python = "/environment/bin/python"
    return (
        image.with_user("0:0")
        # The engine would wait for the first of its own checks; `ready` asks sooner.
        .without_docker_healthcheck()
        .with_mounted_file(CONFINE, script)
        .with_mounted_temp("/tmp")  # noqa: S108
        .with_env_variable("MLIFECYCLE_RUN", run)
        .with_exposed_port(PORT, experimental_skip_healthcheck=True)
        .as_service(
            args=[python, "-I", CONFINE, user, group or user, *command],
            insecure_root_capabilities=True,
            no_init=True,
        )
    )


@dataclass
class ServiceCandidate:
    """A release that runs as a service for as long as its context lasts.

    `module` says whether this process is a function in the engine, which reaches services by their
    name; a program with a session reaches them through a tunnel.
    """

    service: dagger.Service
    module: bool
    _started: dagger.Service | None = None
    _client: HttpClient | None = None

    @property
    def client(self) -> Client:
        """Asks it over the network that it would be asked on."""
        if self._client is None:
            raise RuntimeError("the service was not started")
        return self._client

    async def ready(self, deadline: float) -> None:
        """Start it and wait up to `deadline` seconds for it to be ready."""
        until = time.monotonic() + deadline
        try:
            service = await self.service.start()
            if not self.module:
                service = await dag.host().tunnel(service).start()
            self._started = service
            address = await service.endpoint(port=PORT if self.module else None, scheme="http")
        except dagger.QueryError as error:
            raise CandidateFailed("it ended", _log(error)) from None
        self._client = HttpClient.url(address, seconds=30.0)
        said = "no answer"
        while time.monotonic() < until:
            try:
                reply = await self._client.get("/ready")
            except OSError as error:
                said = f"no answer: {error}"
            else:
                if reply.status == 200:
                    return
                said = reply.body[:300].decode(errors="replace")
            await asyncio.sleep(PAUSE)
        raise CandidateFailed(f"it is not ready after {deadline:.0f} s", (said,))

    async def promote(self, record: Mapping[str, Any]) -> None:
        """Nothing moves: there is no traffic in the engine."""

    async def discard(self) -> None:
        """End it."""
        if self._client is not None:
            self._client.close()
        for service in (self._started, self.service):
            if service is not None:
                with contextlib.suppress(dagger.QueryError):
                    await service.stop(kill=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.discard()


def _log(error: dagger.QueryError) -> tuple[str, ...]:
    if isinstance(error, dagger.ExecError):
        return tuple((error.stderr or error.stdout).strip().splitlines())
    return (said_by(error),)
