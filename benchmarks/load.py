"""A server on one processor, and wrk's requests to it from another."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PORT = "{port}"
# Of the servers whose configuration names no port of the system's choice.
FIXED = 8800


@dataclass(frozen=True)
class Body:
    """What is asked, and where."""

    path: str
    content: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    def known_by(self, key: str) -> Body:
        """The same, from the holder of an API key."""
        return Body(self.path, self.content, {**self.headers, "X-API-Key": key})


@dataclass(frozen=True)
class Server:
    """How a server is started: `{port}` stands for its port, also in the variables' values."""

    label: str
    command: Sequence[str | Path]
    body: Body
    variables: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    port: int | None = None


@dataclass(frozen=True)
class Figures:
    """Requests per second, milliseconds, and the microseconds of processor that a request took."""

    rate: float
    p50: float
    p99: float
    failed: int
    processor: float

    def __str__(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        times = f"{self.p50:.2f} / {self.p99:.1f}{failed}"
        return f"{self.rate:.0f} ({times}, {self.processor:.0f} µs)"


class Running:
    """A server that answers. `pid` is also the session of all its processes."""

    def __init__(self, server: Server, port: int, pid: int, seconds: int, runs: int) -> None:
        self.server = server
        self.port = port
        self.pid = pid
        self.seconds = seconds
        self.runs = runs

    def measured(
        self,
        connections: int,
        body: Body | None = None,
        *,
        runs: int | None = None,
        think: float = 0.0,
    ) -> Figures:
        """The median of some runs, after one that warms up.

        `think` is the mean of the milliseconds that a connection waits before it asks again, so
        that the load stays below what the server can do.
        """
        wanted = body or self.server.body
        self._run(wanted, connections, 2, think)
        found = [
            self._run(wanted, connections, self.seconds, think) for _ in range(runs or self.runs)
        ]
        return sorted(found, key=lambda figures: figures.rate)[len(found) // 2]

    def _run(self, body: Body, connections: int, seconds: int, think: float) -> Figures:
        before = processor_seconds(self.pid)
        with tempfile.TemporaryDirectory() as folder:
            content, script = Path(folder, "body"), Path(folder, "ask.lua")
            content.write_bytes(body.content)
            script.write_text(_script(content, body.headers, think))
            said = subprocess.run(
                [
                    *("taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"),
                    *("--latency", "--timeout", "10s", "-s", str(script)),
                    f"http://127.0.0.1:{self.port}{body.path}",
                ],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        spent = processor_seconds(self.pid) - before
        requests = int(_found(r"(\d+) requests in", said)[1])
        failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        return Figures(
            float(_found(r"Requests/sec:\s+([\d.]+)", said)[1]),
            _milliseconds(said, "50%"),
            _milliseconds(said, "99%"),
            int(failed[1]) if failed else 0,
            spent / max(1, requests) * 1e6,
        )


@contextlib.contextmanager
def serving(
    server: Server, room: Path, *, seconds: int = 6, runs: int = 3, pinned: bool = True
) -> Iterator[Running]:
    """The server, once it has answered its body; its whole session ends with the block."""
    port = server.port or _free_port()
    with (room / "server.log").open("w") as log:
        process = subprocess.Popen(
            [
                *(["taskset", "-c", "0"] if pinned else []),
                *(str(part).replace(PORT, str(port)) for part in server.command),
            ],
            stdout=log,
            stderr=log,
            cwd=server.folder,
            env={
                **os.environ,
                **{k: v.replace(PORT, str(port)) for k, v in server.variables.items()},
            },
            start_new_session=True,
        )
        try:
            _wait_for(server, port, process, room / "server.log")
            yield Running(server, port, process.pid, seconds, runs)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def processor_seconds(session: int) -> float:
    """The processor time that the processes of a session have taken."""
    ticks = sum(int(fields[11]) + int(fields[12]) for _, fields in _processes(session))
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(session: int) -> float:
    """The megabytes that a session's processes hold; what several share counts once."""
    total = 0
    for pid, _ in _processes(session):
        with contextlib.suppress(OSError):
            said = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(_found(r"\nPss:\s+(\d+)", said)[1])
    return total / 1024


def _processes(session: int) -> Iterator[tuple[str, list[str]]]:
    """The pid and the fields of `stat` after the name, of each process of a session."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == session:
                yield path.parent.name, fields


def _script(content: Path, headers: Mapping[str, str], think: float) -> str:
    lines = [
        f'local f = io.open("{content}", "rb"); wrk.body = f:read("*a"); f:close()',
        'wrk.method = "POST"',
        *(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()),
    ]
    if think:
        # Exponential, so that requests come as those of many independent callers do. wrk waits
        # whole milliseconds.
        lines.append(
            f"function delay() return math.floor(0.5 - {think} * math.log(1 - math.random())) end"
        )
    return "\n".join(lines) + "\n"


def _found(pattern: str, said: str) -> re.Match[str]:
    place = re.search(pattern, said)
    if place is None:
        raise ValueError(f"{pattern} is not in: {said}")
    return place


def _milliseconds(said: str, share: str) -> float:
    place = _found(rf"{share}\s+([\d.]+)(us|ms|s)\b", said)
    return float(place[1]) * {"us": 0.001, "ms": 1, "s": 1000}[place[2]]


def _wait_for(server: Server, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    body = server.body
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{body.path}", body.content, dict(body.headers)
    )
    while True:
        try:
            urllib.request.urlopen(request, timeout=5).read()  # noqa: S310 - http, to our own server
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text(errors="replace")[-2000:]
                raise SystemExit(f"{server.label} does not answer: {error}\n{said}") from error
            time.sleep(0.02)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
