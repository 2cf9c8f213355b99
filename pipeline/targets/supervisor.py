"""The process that holds a deployment's listening socket and keeps its server alive.

There is one for each deployment. It holds a lock for as long as it lives, the listening socket,
and the server processes, which inherit that socket and accept on it only when told. None of them
needs it to go on: killed, it is started again by the next command, takes the socket back from a
server that lives, and repairs what was under way towards what `desired.json` says.

Its working folder is the deployment's. It is told what to do on `control.sock`, in lines of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import logging.handlers
import os
import socket
import sys
from pathlib import Path
from typing import Any

from pipeline.errors import EnvironmentFailed
from pipeline.targets import desired
from pipeline.targets.deployment import HERE, Deployment
from pipeline.targets.instance import INSTANCES, LOGS
from pipeline.targets.session import Session

CONTROL = "control.sock"
LOCK = "supervisor.lock"

_log = logging.getLogger("supervisor")


async def _supervise(host: str, port: int) -> None:
    deployment = Deployment(desired.read(HERE))
    await deployment.recover(host, port)
    line = _control()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        deployment.sessions += 1
        try:
            await Session(deployment, reader, writer).run()
        finally:
            deployment.sessions -= 1

    server = await asyncio.start_unix_server(converse, sock=line)
    _tell({"ok": True})
    deployment.attend()
    await deployment.finished.wait()
    server.close()


def _control() -> socket.socket:
    """The control socket, in the place of one that a killed supervisor left."""
    Path(CONTROL).unlink(missing_ok=True)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.bind(CONTROL)
    line.listen(16)
    return line


def _tell(answer: dict[str, Any]) -> None:
    """Say how the start went, once, to whoever started us; then let go of their pipes."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(answer).encode() + b"\n")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (1, 2):
        os.dup2(nothing, standard)
    os.close(nothing)


def main(argv: list[str] | None = None) -> int:
    """Become the supervisor of a deployment's folder, unless one lives."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.targets.supervisor")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(argv)
    os.chdir(options.folder)
    os.umask(0o077)
    if os.fork():
        os._exit(0)
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _tell({"ok": True})
        return 0
    os.truncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    INSTANCES.mkdir(exist_ok=True)
    LOGS.mkdir(exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        LOGS / "supervisor.log", maxBytes=1024 * 1024, backupCount=2
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        asyncio.run(_supervise(options.host, options.port))
    except EnvironmentFailed as error:
        _log.error("%s", error)
        _tell({"ok": False, "error": error.message, "remedy": error.remedy})
        return 1
    except OSError as error:
        _log.exception("the supervisor ends")
        _tell({"ok": False, "error": f"The supervisor did not start: {error}."})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
