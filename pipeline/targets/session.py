"""One command's conversation with the supervisor. A candidate lives as long as its session."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any

from pipeline.targets import logs
from pipeline.targets.deployment import Deployment, Refused
from pipeline.targets.instance import Instance, InstanceFailed, Start

_log = logging.getLogger("supervisor")
SHOWN = 20


class Session:
    """Answers the lines of one connection, in order."""

    def __init__(
        self,
        deployment: Deployment,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._deployment = deployment
        self._reader = reader
        self._writer = writer
        self._candidate: Instance | None = None

    async def run(self) -> None:
        """Until the other side hangs up; then what it started and did not promote is ended."""
        try:
            with contextlib.suppress(OSError, ValueError, asyncio.LimitOverrunError):
                while line := await self._reader.readline():
                    reply = await self._answer(line)
                    self._writer.write(json.dumps(reply).encode() + b"\n")
                    await self._writer.drain()
        finally:
            self._writer.close()
            if self._candidate is not None:
                _log.info("candidate %s was not promoted and is ended", self._candidate.name)
                await self._deployment.discard(self._candidate)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            return {"ok": True, **await self._do(request.pop("op"), request)}
        except (Refused, InstanceFailed, OSError) as error:
            return {"ok": False, "error": str(error)}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return {"ok": False, "error": f"malformed request: {error!r}"}

    async def _do(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        deployment = self._deployment
        match operation:
            case "hello":
                return {"code": deployment.code}
            case "leave":
                deployment.leave()
            case "status":
                return await deployment.status()
            case "start":
                if self._candidate is not None:
                    raise Refused("this session has a candidate already")
                self._candidate = deployment.begin(Start(**request))
                return {"instance": self._candidate.name}
            case "candidate":
                told = await self._own().status()
                return told | {"log": logs.tail(self._own().log, SHOWN)}
            case "promote":
                await deployment.promote(self._own(), dict(request["record"]))
                self._candidate = None
                return {}
            case "discard":
                candidate, self._candidate = self._own(), None
                await deployment.discard(candidate)
                return {}
            case "stop":
                return {"stopped": await deployment.stop(request.get("record"))}
        raise Refused(f"unknown operation {operation!r}")

    def _own(self) -> Instance:
        if self._candidate is None:
            raise Refused("this session has no candidate")
        return self._candidate
