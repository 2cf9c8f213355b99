"""One server process, seen by its supervisor: started, commanded, found again, ended.

Whether it lives is told by a lock that it inherits and never touches: the kernel frees it with
the process's end, whoever its parent was by then. A bare process id is never trusted; where one
is needed to end a process, a pidfd is opened first and the lock looked at afterwards, so that the
id cannot have passed to another process in between.

All paths are relative: the supervisor's working folder is the deployment's.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.targets import logs, spawn

INSTANCES = Path("instances")
LOGS = Path("logs")
_POLL = 0.05

_log = logging.getLogger("supervisor")


@dataclass(frozen=True, slots=True)
class Start:
    """What to start. `folder` is the release's, relative to the deployment's."""

    release: str
    folder: str
    version: str


class InstanceFailed(Exception):
    """A server did not start, ended, or does not answer. The message is for people."""


class Instance:
    """A live server process. `on_gone` is called once, when it has ended."""

    def __init__(self, name: str, start: Start, on_gone: Callable[[Instance], None]) -> None:
        self.name = name
        self.start = start
        self.gone = asyncio.Event()
        self.exit_code: int | None = None
        self._on_gone = on_gone
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._handle: int | None = None
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._asking = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def folder(self) -> Path:
        """Where its lock and its sockets are."""
        return INSTANCES / self.name

    @property
    def log(self) -> Path:
        """What it writes."""
        return LOGS / f"{self.name}.log"

    @classmethod
    def spawn(
        cls, start: Start, listener: socket.socket, on_gone: Callable[[Instance], None]
    ) -> Instance:
        """Start a server process. Raises OSError when it cannot be started."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}"
        instance = cls(name, start, on_gone)
        instance.folder.mkdir(parents=True, mode=0o700)
        try:
            instance._spawn(listener)
        except BaseException:
            shutil.rmtree(instance.folder, ignore_errors=True)
            raise
        instance._attend()
        return instance

    def _spawn(self, listener: socket.socket) -> None:
        release = Path(self.start.folder).resolve()
        (self.folder / "instance.json").write_text(json.dumps(asdict(self.start)))
        LOGS.mkdir(exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Not asyncio's subprocess: its transport kills the process when the loop goes away.
            self._process = subprocess.Popen(
                [
                    *(str(release / "environment" / "bin" / "python"), "-P", "-m", "serving"),
                    *("--release", str(release), "--release-digest", self.start.release),
                    *("--control", "control", "--socket-fd", str(listener.fileno())),
                ],
                cwd=self.folder,
                env=spawn.environment(PYTHONPATH=str(release / "server")),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(listener.fileno(), lock),
                start_new_session=True,
            )
            self._pid = self._process.pid
            os.pwrite(lock, str(self._pid).encode(), 0)
        finally:
            os.close(lock)
            os.close(log)

    @classmethod
    def find(cls, on_gone: Callable[[Instance], None]) -> list[Instance]:
        """The live servers that an earlier supervisor started. What dead ones left is removed."""
        found: list[Instance] = []
        for folder in sorted(INSTANCES.glob("*")):
            if not alive(folder):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            with contextlib.suppress(OSError, ValueError, TypeError):
                start = Start(**json.loads((folder / "instance.json").read_bytes()))
                instance = cls(folder.name, start, on_gone)
                instance._pid = int((folder / "lock").read_bytes() or b"0")
                instance._attend()
                found.append(instance)
        return found

    async def ask(self, operation: str, *, within: float = 5.0, **more: Any) -> dict[str, Any]:
        """One command and its answer. Raises InstanceFailed when there is none, or it is a no."""
        async with self._asking:
            try:
                async with asyncio.timeout(within):
                    reader, writer = await self._connected()
                    writer.write(json.dumps({"op": operation, **more}).encode() + b"\n")
                    await writer.drain()
                    answer = json.loads(await reader.readuntil(b"\n"))
            except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
                self._hang_up()
                problem = str(error) or type(error).__name__
                raise InstanceFailed(f"no answer to {operation}: {problem}") from error
            except asyncio.CancelledError:
                self._hang_up()  # its answer may still come, and would be taken for another's
                raise
        if not answer.get("ok"):
            raise InstanceFailed(str(answer.get("error", "refused")))
        return dict(answer)

    async def until_ready(self, deadline: float) -> None:
        """Wait until it may be activated. Raises InstanceFailed when it will not be."""
        try:
            async with asyncio.timeout(deadline):
                while True:
                    status = await self.status()
                    if status["state"] in ("ready", "serving"):
                        return
                    if status["state"] in ("failed", "exited", "draining"):
                        raise InstanceFailed(status["error"] or f"the server is {status['state']}")
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise InstanceFailed(f"not ready within {deadline:.0f} s") from None

    async def status(self) -> dict[str, Any]:
        """What the server says of itself; its end, or its silence, when it says nothing."""
        told: dict[str, Any] = {"state": "loading", "pid": 0, "in_flight": 0, "error": ""}
        if not self.gone.is_set():
            try:
                told = await self.ask("status", within=2.0)
            except InstanceFailed as error:
                if (self.folder / "control").exists():
                    told |= {"state": "unresponsive", "error": str(error)}
        if self.gone.is_set() and told["state"] != "failed":
            told |= {"state": "exited", "error": self.ending()}
        return told | {
            "instance": self.name,
            "release": self.start.release,
            "version": self.start.version,
        }

    def ending(self) -> str:
        """Words for how the process ended."""
        code = self.exit_code
        if code is None:
            return "the server process ended"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"the server process was ended by {signal.Signals(-code).name}"
        last = [line for line in logs.tail(self.log, 20) if line.strip()][-1:]
        return f"the server process ended with exit code {code}" + "".join(f": {x}" for x in last)

    def listener(self) -> socket.socket:
        """The listening socket that the process holds. Blocks briefly; raises OSError."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(5.0)
            line.connect(str(self.folder / "control"))
            line.sendall(b'{"op": "listener"}\n')
            answer, fds, _, _ = socket.recv_fds(line, 4096, 1)
        if not fds:
            raise OSError(f"{self.name} holds no listening socket: {answer.decode()}")
        return socket.socket(fileno=fds[0])

    async def end(self, grace: float = 3.0) -> None:
        """End it: with a drain when it is able to and `grace` seconds suffice, else by force."""
        if self.gone.is_set():
            return
        with contextlib.suppress(InstanceFailed):
            if grace > 0:
                await self.ask("drain", idle=0.0, within=1.0)
                if await self._gone_within(grace):
                    return
        self.kill()
        await self._gone_within(5.0)

    def kill(self) -> None:
        """End it by force."""
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "linux" and self._handle is not None:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            elif self._process is not None:
                self._process.kill()
            elif self._pid and alive(self.folder):
                os.kill(self._pid, signal.SIGKILL)

    async def _gone_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gone.wait(), seconds)
        return self.gone.is_set()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._line is None:
            self._line = await asyncio.open_unix_connection(str(self.folder / "control"))
        return self._line

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line[1].close()
            self._line = None

    async def _hold(self) -> None:
        """Keep a connection open: a server without one, and without traffic, ends itself."""
        while not self.gone.is_set():
            async with self._asking:
                with contextlib.suppress(OSError):
                    await self._connected()
            await asyncio.sleep(_POLL if self._line is None else 5.0)

    def _attend(self) -> None:
        """Learn of its end, and keep it company until then."""
        if sys.platform == "linux" and self._pid:
            with contextlib.suppress(OSError):
                self._handle = os.pidfd_open(self._pid)
            # Only now is it sure that the id was still its own when the handle was opened.
            if self._handle is not None and not alive(self.folder):
                os.close(self._handle)
                self._handle = None
        self._tasks.add(asyncio.ensure_future(self._watch()))
        self._tasks.add(asyncio.ensure_future(self._hold()))

    async def _watch(self) -> None:
        if self._handle is not None:
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.add_reader(self._handle, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._handle)
        else:
            while alive(self.folder):  # noqa: ASYNC110 - nobody tells, one has to look
                await asyncio.sleep(_POLL)
        if self._process is not None:
            self.exit_code = self._process.wait()
        self._ended()

    def _ended(self) -> None:
        self.gone.set()
        self._hang_up()
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        shutil.rmtree(self.folder, ignore_errors=True)
        _log.info("%s (%s) is gone: %s", self.name, self.start.version, self.ending())
        self._on_gone(self)


def alive(folder: Path) -> bool:
    """True when the process of the instance in `folder` runs: when somebody holds its lock."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
