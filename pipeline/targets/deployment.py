"""What a deployment serves, what it is starting and what drains, and the way between them.

The supervisor's inside. Everything here works towards `desired.json`: a switch writes it before
the traffic moves, and whatever was interrupted is completed in its sense.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import EnvironmentFailed
from pipeline.targets import desired as desired_file
from pipeline.targets import logs, spawn
from pipeline.targets.desired import Desired
from pipeline.targets.instance import LOGS, Instance, InstanceFailed, Start

HERE = Path()
BACKLOG = 2048
STARTING = 180.0
DRAINING = 90.0
STOPPING = 15.0
FIRST_RETRY, LAST_RETRY = 0.2, 30.0
STEADY = 60.0
LINGER = 3.0

_log = logging.getLogger("supervisor")


class Refused(Exception):
    """The supervisor does not do what it was asked. The message is for people."""


class Deployment:
    """The listening socket, the server processes, and at most one candidate among them."""

    def __init__(self, wanted: Desired | None) -> None:
        self.code = spawn.code()
        self.wanted = wanted
        self.listener: socket.socket
        self.active: Instance | None = None
        self.candidate: Instance | None = None
        self.leaving: set[Instance] = set()
        self.trouble = ""
        self.sessions = 0
        self.finished = asyncio.Event()
        self._starting: Instance | None = None
        self._spare: Instance | None = None
        self._change = asyncio.Lock()
        self._attention = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def serving(self) -> Desired | None:
        """What should serve; None when nothing should."""
        return self.wanted if self.wanted is not None and self.wanted.serving else None

    # Its life

    async def recover(self, host: str, port: int) -> None:
        """Take over what an earlier supervisor left, or bind the socket anew.

        Raises EnvironmentFailed when the port cannot be bound.
        """
        found = Instance.find(self._gone)
        states = await asyncio.gather(*(self._reached(instance) for instance in found))
        listener = None
        for instance, state in zip(found, states, strict=True):
            if state in ("ready", "serving") and listener is None:
                with contextlib.suppress(OSError):
                    listener = await asyncio.to_thread(instance.listener)
            if state == "unresponsive":
                # It may hold the socket and can no longer give it away; nor does it serve.
                _log.warning("%s does not answer and is ended", instance.name)
                await instance.end(grace=0.0)
        if listener is None:
            if self.serving is not None:
                host, port = self.serving.host, self.serving.port
            elif self.wanted is not None and port == 0 and self.wanted.host == host:
                port = self.wanted.port
            listener = bound(host, port)
        listener.setblocking(False)
        self.listener = listener
        if self.serving is not None:
            listener.listen(BACKLOG)  # who connects now waits for the server instead of failing
        self._adopt(list(zip(found, states, strict=True)))
        self._attention.set()

    def attend(self) -> None:
        """Begin to keep what should serve alive, and the logs bounded."""
        self._later(self._keep())
        self._later(self._tidy())

    async def _reached(self, instance: Instance) -> str:
        """The state of one that was found; one that was just started has a moment to answer."""
        state = "loading"
        for _ in range(10):
            state = str((await instance.status())["state"])
            if state not in ("loading", "unresponsive"):
                break
            if state == "loading" and (instance.folder / "control").exists():
                break
            await asyncio.sleep(0.5)
        else:
            state = "unresponsive"
        return state

    def _adopt(self, found: list[tuple[Instance, str]]) -> None:
        """The one that should serve, or else one that does, is the active one; the rest goes."""
        wanted = self.serving

        def rank(entry: tuple[Instance, str]) -> tuple[bool, bool, bool]:
            instance, state = entry
            promoted = wanted is not None and instance.name == wanted.instance
            same = wanted is not None and instance.start.release == wanted.release
            return (same and state == "serving", state == "serving", promoted)

        for instance, state in sorted(found, key=rank, reverse=True):
            if instance.gone.is_set():
                continue
            if wanted is not None and self.active is None and state == "serving":
                _log.info("%s (%s) still serves", instance.name, instance.start.version)
                self.active = instance
            elif wanted is not None and state == "ready" and instance.name == wanted.instance:
                self._spare = instance  # it was promoted, but not yet told so
            else:
                self.leaving.add(instance)
                if state != "draining":
                    self._later(self._leave(instance, serving=state == "serving"))
        if self._spare is not None and wanted is not None and self._served(wanted):
            self._later(self._leave(self._spare, serving=False))

    async def _keep(self) -> None:
        """Start what should serve whenever it does not: after a crash, or half-way in a switch."""
        clock = asyncio.get_running_loop().time
        pause, tried = FIRST_RETRY, float("-inf")
        while True:
            await self._attention.wait()
            self._attention.clear()
            while (wanted := self.serving) is not None and not self._served(wanted):
                if clock() - tried > STEADY:
                    pause = FIRST_RETRY
                else:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LAST_RETRY)
                tried = clock()
                try:
                    await self._replace()
                    self.trouble = ""
                except Exception as error:  # whatever it is, there must be a next try
                    self.trouble = f"{wanted.version} does not start: {error}"
                    _log.exception("%s", self.trouble)

    def _served(self, wanted: Desired) -> bool:
        active = self.active
        return (
            active is not None
            and not active.gone.is_set()
            and active.start.release == wanted.release
        )

    async def _replace(self) -> None:
        """Start what should serve and move the traffic there, unless that changes meanwhile."""
        wanted = self.serving
        if wanted is None or self._served(wanted):
            return
        instance, self._spare = self._spare, None
        if instance is None or instance.gone.is_set():
            start = Start(wanted.release, wanted.folder, wanted.version)
            _log.info("starting %s (%s)", start.version, start.release)
            instance = Instance.spawn(start, self.listener, self._gone)
        self._starting = instance
        try:
            await instance.until_ready(STARTING)
            async with self._change:
                if self.serving is wanted and not self._served(wanted):
                    await self._switch(instance)
        finally:
            self._starting = None
            if instance is not self.active:
                await instance.end()

    async def _switch(self, instance: Instance) -> None:
        """Move the traffic to `instance`. When it returns, the old one accepts no more."""
        await instance.ask("activate", within=10.0)
        old, self.active = self.active, instance
        _log.info("%s (%s) serves", instance.name, instance.start.version)
        if old is not None and not old.gone.is_set():
            await self._drain(old)

    async def _drain(self, instance: Instance, idle: float = -1.0) -> None:
        self.leaving.add(instance)
        try:
            await instance.ask("drain", idle=idle, within=10.0)
            _log.info("%s (%s) drains", instance.name, instance.start.version)
        except InstanceFailed as error:
            if not instance.gone.is_set():
                _log.error("%s does not drain and is ended: %s", instance.name, error)
                await instance.end(grace=0.0)
        asyncio.get_running_loop().call_later(DRAINING, self._overdue, instance)

    def _overdue(self, instance: Instance) -> None:
        if not instance.gone.is_set():
            _log.error("%s has not ended after its drain and is killed", instance.name)
            instance.kill()

    async def _leave(self, instance: Instance, serving: bool) -> None:
        """Let go of one that was found. One with traffic drains once what should serve does."""

        while serving and self.serving is not None and not self._served(self.serving):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        if serving:
            await self._drain(instance)
        else:
            await instance.end()

    def _gone(self, instance: Instance) -> None:
        self.leaving.discard(instance)
        if instance is self.active:
            self.active = None
            self._attention.set()

    async def _tidy(self) -> None:
        """Bound the logs, and end when there has been nothing to hold for a while."""
        idle = 0.0
        while True:
            await asyncio.sleep(1.0)
            live = self._live()
            logs.bound(LOGS, {instance.name for instance in live})
            busy = self.serving is not None or live or self.sessions
            idle = 0.0 if busy else idle + 1.0
            if idle >= LINGER:
                self.finished.set()

    def _live(self) -> set[Instance]:
        known = (self.active, self.candidate, self._starting, *self.leaving)
        return {instance for instance in known if instance is not None}

    # What it is asked to do

    async def status(self) -> dict[str, Any]:
        """Everything it knows, asked from the servers now."""
        wanted = self.wanted
        host, port = self.listener.getsockname()[:2] if self.listener.fileno() >= 0 else ("", 0)
        return {
            "pid": os.getpid(),
            "host": host,
            "port": port,
            "serving": self.serving is not None,
            "since": wanted.since if wanted is not None else "",
            "record": wanted.record if wanted is not None else {},
            "release": wanted.release if wanted is not None else "",
            "version": wanted.version if wanted is not None else "",
            "active": await self.active.status() if self.active is not None else None,
            "candidate": self.candidate.name if self.candidate is not None else None,
            "leaving": sorted(instance.name for instance in self.leaving),
            "trouble": self.trouble,
        }

    def leave(self) -> NoReturn:
        """End this process and nothing else, to make room for one with newer code."""
        if self.candidate is not None or self._starting is not None or self._change.locked():
            raise Refused("another command is at work")
        _log.info("a supervisor with other code takes over")
        # Without the usual farewell: what runs is to go on.
        os._exit(0)

    def begin(self, start: Start) -> Instance:
        """Start a candidate. There is one at a time."""
        if self.candidate is not None and not self.candidate.gone.is_set():
            raise Refused(f"another deploy is under way, of version {self.candidate.start.version}")
        if self.listener.fileno() < 0:
            raise Refused("the deployment is being stopped")
        self.candidate = instance = Instance.spawn(start, self.listener, self._gone)
        _log.info("candidate %s (%s, %s)", instance.name, start.version, start.release)
        return instance

    async def promote(self, candidate: Instance, record: dict[str, Any]) -> None:
        """Commit, then switch. When the candidate fails between the two, the commit is undone."""
        async with self._change:
            if candidate.gone.is_set():
                raise Refused(f"the candidate cannot be promoted: {candidate.ending()}")
            before = self.wanted
            host, port = self.listener.getsockname()[:2]
            start = candidate.start
            after = Desired(
                serving=True,
                release=start.release,
                folder=start.folder,
                version=start.version,
                instance=candidate.name,
                host=host,
                port=port,
                since=datetime.now(UTC).isoformat(),
                record=record,
            )
            self.listener.listen(BACKLOG)
            self._commit(after)
            try:
                await self._switch(candidate)
            except InstanceFailed as error:
                await candidate.end(grace=0.0)
                self._restore(before)
                raise Refused(f"the candidate does not take the traffic: {error}") from error
            self.trouble = ""
            self.candidate = None

    def _commit(self, after: Desired) -> None:
        try:
            desired_file.write(HERE, after)
        except OSError as error:
            raise Refused(f"the decision cannot be written: {error}") from error
        self.wanted = after

    def _restore(self, before: Desired | None) -> None:
        """Undo a commit. If the disk refuses, what it says stays what is worked towards."""
        try:
            if before is None:
                (HERE / desired_file.NAME).unlink()
            else:
                desired_file.write(HERE, before)
        except OSError as error:
            _log.error("the switch cannot be undone on disk: %s", error)
            self._attention.set()
        else:
            self.wanted = before

    async def discard(self, candidate: Instance) -> None:
        """End a candidate. Another one may start at once."""
        if self.candidate is candidate:
            self.candidate = None
        if not candidate.gone.is_set():
            self.leaving.add(candidate)
            await candidate.end()

    async def stop(self, record: dict[str, Any] | None) -> bool:
        """Commit that nothing serves, drain, close the port, and finish. False if nothing did."""
        async with self._change:
            wanted = self.serving
            if wanted is not None:
                self._commit(desired_file.stopped(wanted, record))
            active, self.active = self.active, None
            self.listener.close()
            if active is not None and not active.gone.is_set():
                await self._drain(active, idle=1.0)
            await self._empty()
            self.finished.set()
            return wanted is not None

    async def _empty(self) -> None:
        """End what has no traffic now, and what drains within STOPPING seconds at the latest."""
        idle = [instance.end() for instance in self._live() - self.leaving]
        draining = [instance.gone.wait() for instance in self.leaving]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOPPING):
                await asyncio.gather(*idle, *draining)
        await asyncio.gather(*(instance.end(grace=0.0) for instance in self._live()))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def bound(host: str, port: int) -> socket.socket:
    """A socket that will listen. Raises EnvironmentFailed when the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise EnvironmentFailed(f"The deployment cannot listen on {host}: {error}.") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        reason = {
            errno.EADDRINUSE: "the port is taken by another program",
            errno.EACCES: "the port is reserved for the system",
        }.get(error.errno or 0, str(error))
        raise EnvironmentFailed(
            f"The deployment cannot listen on {host}:{port}: {reason}.",
            "Free the port, or stop the deployment and deploy to another port.",
        ) from error
    return listener
