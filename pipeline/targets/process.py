"""The target `process`: a local server behind a listening socket that a supervisor holds.

This is the commands' side. It starts the supervisor when none lives and speaks to it over its
control socket; what it asks for is described in `session.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.targets import desired, logs, spawn
from pipeline.targets.http import HttpClient
from pipeline.targets.instance import INSTANCES, LOGS, alive
from pipeline.targets.interface import CandidateFailed, Deployable, Served
from pipeline.targets.sockets import address
from pipeline.targets.supervisor import CONTROL, LOCK

ANSWER = 60.0
REPAIR = 120.0
DISCARD = 10.0
# A server is loaded and has checked itself when it answers: what it then says of its readiness
# is no passing state.
SETTLING = 3.0
_POLL = 0.05
_LONGEST_LINE = 1024 * 1024


# The server's own settings (docs/serving.md). Its environment is not the command's.
SETTINGS = "MLIFECYCLE_SERVING_"


def refuse_settings(environ: Mapping[str, str]) -> None:
    """Raise InvalidInput where the server's settings are set: it would not get them.

    A deployment of this target listens on this machine and is open to whoever is on it. Whoever set
    a variable for authentication must not believe that it is in force.
    """
    names = sorted(name for name in environ if name.startswith(SETTINGS))
    if names:
        raise InvalidInput(
            [
                Problem(
                    file="the environment",
                    path="",
                    value=", ".join(names),
                    expected="no setting of the server: a deployment on this machine is given none",
                    remedy="Unset it; or run the image, or python -m serving, with it.",
                )
            ]
        )


class SupervisorGone(Exception):
    """The supervisor hung up."""


class _Line:
    """A conversation with the supervisor: one request, one answer, in order."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._lines = BufferedByteReceiveStream(stream)

    async def ask(self, operation: str, **more: Any) -> dict[str, Any]:
        """The answer. Raises SupervisorGone, or EnvironmentFailed with the supervisor's reason."""
        try:
            with anyio.fail_after(ANSWER):
                await self._stream.send(json.dumps({"op": operation, **more}).encode() + b"\n")
                answer = json.loads(await self._lines.receive_until(b"\n", _LONGEST_LINE))
        except TimeoutError:
            raise EnvironmentFailed(
                f"The deployment's supervisor does not answer ({operation}).",
                "End that process; the server goes on, and the next command takes over.",
            ) from None
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead) as e:
            raise SupervisorGone(operation) from e
        if not answer.pop("ok"):
            raise EnvironmentFailed(f"The supervisor refuses to {operation}: {answer['error']}.")
        return dict(answer)

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()


class ProcessCandidate:
    """A server process without traffic. It ends when its line to the supervisor does."""

    def __init__(self, line: _Line, name: str, folder: Path) -> None:
        self.name = name
        self.client = HttpClient.unix(folder / INSTANCES / name / "control.http")
        self._line: _Line | None = line

    async def ready(self, deadline: float) -> None:
        """Wait up to `deadline` seconds for it to be ready. Raises CandidateFailed."""
        told: dict[str, Any] = {"log": []}
        reason = "it is still loading"
        started: float | None = None
        try:
            with anyio.fail_after(deadline):
                while True:
                    told = await self._told()
                    if told["state"] in ("failed", "exited"):
                        raise CandidateFailed(told["error"] or told["state"], tuple(told["log"]))
                    if told["state"] == "ready":
                        started = started or anyio.current_time()
                        reason = await self._unready()
                        if not reason:
                            return
                        if anyio.current_time() - started > SETTLING:
                            raise CandidateFailed(reason, tuple(told["log"]))
                    await anyio.sleep(_POLL)
        except TimeoutError:
            raise CandidateFailed(
                f"not ready within {deadline:g} s: {reason}", tuple(told["log"])
            ) from None

    async def _told(self) -> dict[str, Any]:
        if self._line is None:
            raise CandidateFailed("it was promoted or discarded")
        try:
            return await self._line.ask("candidate")
        except SupervisorGone:
            raise CandidateFailed("the supervisor ended") from None

    async def _unready(self) -> str:
        try:
            reply = await self.client.get("/ready")
        except OSError as error:
            return f"/ready does not answer ({error})"
        if reply.status == 200:
            return ""
        return f"/ready answers {reply.status}: {reply.body[:300].decode(errors='replace')}"

    async def promote(self, record: Mapping[str, Any]) -> None:
        """Commit `record`, move the traffic here, drain the old one. Raises EnvironmentFailed."""
        if self._line is None:
            raise EnvironmentFailed("The candidate was promoted or discarded before.")
        try:
            await self._line.ask("promote", record=dict(record))
        except SupervisorGone:
            raise EnvironmentFailed(
                "The supervisor ended during the switch.",
                "Run the command again: it finds out what serves and completes or undoes it.",
            ) from None
        await self._let_go()

    async def discard(self) -> None:
        """End it. Harmless when it has ended or was promoted."""
        if self._line is None:
            return
        # Hanging up would do; the answer says that it has ended.
        with contextlib.suppress(SupervisorGone, EnvironmentFailed), anyio.move_on_after(DISCARD):
            await self._line.ask("discard")
        await self._let_go()

    async def _let_go(self) -> None:
        line, self._line = self._line, None
        self.client.close()
        if line is not None:
            await line.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.discard()


class ProcessTarget:
    """One deployment's folder, and the processes that serve from it.

    `port` 0 leaves the choice to the system at the first deploy; it is kept from then on.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int | None = None) -> None:
        self._folder = folder.absolute()
        self._host = host
        self._port = port or 0

    async def current(self) -> Served | None:
        """What serves. A supervisor or server that should live and does not is started again."""
        for _ in range(5):
            if not self._traces():
                return None
            try:
                status = await self._settled()
            except SupervisorGone:  # it was ending, or was ended, just now
                await anyio.sleep(0.2)
            else:
                return await self._served(status) if status["serving"] else None
        raise EnvironmentFailed("The supervisor ends again and again.", self._see_log())

    async def _settled(self) -> dict[str, Any]:
        """The supervisor's status once what should serve does, or it knows why not."""
        async with self._line() as line:
            status = await line.ask("status")
            with anyio.move_on_after(REPAIR):
                while status["serving"] and not status["trouble"]:
                    active = status["active"]
                    if active is not None and active["release"] == status["release"]:
                        break
                    await anyio.sleep(_POLL)
                    status = await line.ask("status")
        return status

    async def _served(self, status: dict[str, Any]) -> Served:
        active = status["active"] or {}
        url = f"http://{_for_url(status['host'])}:{status['port']}"
        trouble = status["trouble"]
        if not trouble and active.get("state") == "serving":
            client = HttpClient.url(url, seconds=5.0)
            try:
                reply = await client.get("/ready")
                trouble = "" if reply.status == 200 else f"/ready answers {reply.status}"
            except OSError as error:
                trouble = f"/ready does not answer: {error}"
            finally:
                client.close()
        elif not trouble:
            trouble = f"the server is {active.get('state', 'being started')}"
        return Served(
            release=active.get("release", status["release"]),
            version=active.get("version", status["version"]),
            url=url,
            pid=active.get("pid", 0),
            since=datetime.fromisoformat(status["since"]),
            healthy=not trouble,
            record=status["record"],
            trouble=trouble,
        )

    async def start(self, release: Deployable) -> ProcessCandidate:
        """Start `release` without traffic. Raises InvalidInput for settings it would not get."""
        self.check_port()
        refuse_settings(os.environ)
        folder = self._relative(release.folder)
        for _ in range(5):
            line = await self._connect()
            try:
                answer = await line.ask(
                    "start", release=release.digest, folder=folder, version=release.version
                )
            except SupervisorGone:  # it was ending for want of work
                await line.close()
                await anyio.sleep(0.2)
            except BaseException:
                await line.close()
                raise
            else:
                return ProcessCandidate(line, answer["instance"], self._folder)
        raise EnvironmentFailed("The supervisor ends again and again.", self._see_log())

    async def stop(self, record: Mapping[str, Any] | None = None) -> bool:
        """Commit `record`, drain what serves and close the port. False when nothing served."""
        told = None if record is None else dict(record)
        if not self._alive():
            return self._stop_dead(told)
        try:
            async with self._line() as line:
                return bool((await line.ask("stop", record=told))["stopped"])
        except SupervisorGone:
            raise EnvironmentFailed(
                "The supervisor ended during the stop.", "Run the command again."
            ) from None

    def _stop_dead(self, record: dict[str, Any] | None) -> bool:
        """Nothing runs: what should serve is still to be changed, and nobody may start it now."""
        wanted = desired.read(self._folder)
        if wanted is None or not wanted.serving:
            return False
        with self._supervising():
            try:
                desired.write(self._folder, desired.stopped(wanted, record))
            except OSError as error:
                raise EnvironmentFailed(f"The stop cannot be recorded: {error}.") from error
        return True

    async def logs(self, lines: int = 100) -> list[str]:
        """The last lines that the servers wrote, oldest first."""
        return await anyio.to_thread.run_sync(logs.last, self._folder / LOGS, lines)

    def recorded(self) -> desired.Desired | None:
        """What was committed last, a stop too. Reads only; starts and repairs nothing."""
        return desired.read(self._folder)

    def _relative(self, release: Path) -> str:
        return os.path.relpath(release.absolute(), self._folder)

    def _traces(self) -> bool:
        wanted = desired.read(self._folder)
        return (wanted is not None and wanted.serving) or self._alive()

    def _alive(self) -> bool:
        """Whether a supervisor or a server lives."""
        if any(alive(folder) for folder in (self._folder / INSTANCES).glob("*")):
            return True
        try:
            with self._supervising():
                return False
        except EnvironmentFailed:
            return True

    @contextlib.contextmanager
    def _supervising(self) -> Iterator[None]:
        """Hold the supervisor's lock. Raises EnvironmentFailed when a supervisor holds it."""
        if not self._folder.is_dir():
            yield
            return
        with (self._folder / LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise EnvironmentFailed(
                    "A supervisor of this deployment has just started.", "Run the command again."
                ) from None
            yield

    def check_port(self) -> None:
        """Raise InvalidInput when another port than the one in use was asked for."""
        wanted = desired.read(self._folder)
        if self._port and wanted is not None and wanted.serving and wanted.port != self._port:
            raise InvalidInput(
                [
                    Problem(
                        file="--port",
                        path="",
                        value=str(self._port),
                        expected=f"{wanted.port}, where this deployment listens",
                        remedy="Leave the option out, or stop the deployment first.",
                    )
                ]
            )

    @contextlib.asynccontextmanager
    async def _line(self) -> AsyncIterator[_Line]:
        line = await self._connect()
        try:
            yield line
        finally:
            await line.close()

    async def _connect(self) -> _Line:
        """A line to the supervisor. When none answers, or one with other code, it is started."""
        for attempt in range(20):
            await anyio.sleep(0.1 * max(0, attempt - 1))
            try:
                with address(self._folder / CONTROL) as name:
                    line = _Line(await anyio.connect_unix(name))
            except OSError:
                await anyio.to_thread.run_sync(
                    spawn.supervisor, self._folder, self._host, self._port
                )
                continue
            try:
                if (await line.ask("hello"))["code"] == spawn.code():
                    return line
                await line.ask("leave")
            except SupervisorGone:
                await line.close()
            except BaseException:
                await line.close()
                raise
        raise EnvironmentFailed("The supervisor cannot be reached.", self._see_log())

    def _see_log(self) -> str:
        return f"Its log is {self._folder / LOGS / 'supervisor.log'}."


def _for_url(host: str) -> str:
    """`host` as a client reaches it: an address that means all of them is none to connect to."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared only
    return f"[{host}]" if ":" in host else host
