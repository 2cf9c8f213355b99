"""How fast the inference server is beside its peers, in one run.

    make bench-serving

Each server runs alone on one processor, wrk on another. Read the figures as ratios: the machine
decides the rest. The peers are installed from their packages into environments of their own, below
`--room`, where they stay for the next run. Needs wrk (Debian has it), uv and two processors.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
CLASSES = ["legitimate", "fraud"]
ROW = [0.1234, 1.5, 3, 0.25, 1850.0, 4, 11.5, 0, 1, 2]
# Package, the version that was read before its peer was written.
PACKAGES = {"litserve": "0.2.19", "bentoml": "1.4.40", "mlserver": "1.7.1"}


@dataclass(frozen=True)
class Body:
    """What is asked, and where."""

    path: str
    content: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


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


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--room", type=Path, default=Path(tempfile.gettempdir()) / "bench-serving")
    parser.add_argument("--seconds", type=int, default=6, help="the length of one measurement")
    parser.add_argument("--runs", type=int, default=3, help="measurements, of which the median is")
    parser.add_argument("--without-peers", action="store_true", help="ours, plain and echo only")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    options.room.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.room, options.seconds, options.runs)
    bench.releases()
    bench.table_of_servers(peers=not options.without_peers)
    bench.table_of_growth()
    bench.table_of_tensors()
    bench.table_of_starts()


class Bench:
    """The servers and what is asked of them."""

    def __init__(self, room: Path, seconds: int, runs: int) -> None:
        self.room = room
        self.seconds = seconds
        self.runs = runs
        self.python = Path(sys.executable)

    def releases(self) -> None:
        """The models: tiny and mid as in the tables, and a wide one for large bodies."""
        make_release(self.room / "tiny", len(ROW), 64, 2)
        make_release(self.room / "mid", len(ROW), 2048, 3)
        make_release(self.room / "wide", 256, 64, 2)

    def table_of_servers(self, peers: bool) -> None:
        """Ours beside the others, at 1 and 64 connections."""
        row = Body("/predict", json.dumps({"instances": [ROW]}).encode())
        rows: list[tuple[str, list[Figures]]] = []
        for label, model, command, body in [
            ("plain FastAPI, tiny", "tiny", self.plain(), row),
            ("echo in stock uvicorn, no model", "tiny", self.echo(), row),
            ("ours, tiny", "tiny", self.ours("tiny"), row),
            ("ours inline, tiny", "tiny", self.ours("tiny", "inline"), row),
            ("plain FastAPI, mid", "mid", self.plain(), row),
            ("ours, mid", "mid", self.ours("mid"), row),
            ("ours inline, mid", "mid", self.ours("mid", "inline"), row),
            *(self.peers(row) if peers else []),
        ]:
            with self.serving(command, model, body) as port:
                rows.append((label, [self.measured(port, body, c) for c in (1, 64)]))
        by_label = dict(rows)
        plain = {name: by_label[f"plain FastAPI, {name}"] for name in ("tiny", "mid")}
        print(
            "| server: requests/s (p50 / p99 ms, processor) | c=1 | c=64 | to plain, c=1 | c=64 |"
        )
        print("|---|---|---|---|---|")
        for label, (one, many) in rows:
            base = plain["mid" if label.endswith("mid") else "tiny"]
            shares = f"{one.rate / base[0].rate:.1f} | {many.rate / base[1].rate:.1f}"
            print(f"| {label} | {one} | {many} | {shares} |")
        tiny, inline = by_label["ours, tiny"], by_label["ours inline, tiny"]
        echo, mid = by_label["echo in stock uvicorn, no model"], by_label["ours, mid"]
        print(f"\nof echo at c=64: {tiny[1].rate / echo[1].rate:.0%}")
        print(f"c=1, p50 to inline's: {tiny[0].p50 / inline[0].p50:.3f}")
        unbatched = by_label["ours inline, mid"][1]
        print(f"mid at c=64 to its unbatched rate: {mid[1].rate / unbatched.rate:.1f}\n")

    def table_of_growth(self) -> None:
        """How the rate grows with connections, and with rows in a request."""
        print("| connections | tiny | mid |\n|---|---|---|")
        row = Body("/predict", json.dumps({"instances": [ROW]}).encode())
        found: dict[str, list[Figures]] = {}
        counts = (1, 2, 4, 8, 16, 32, 64, 128, 256)
        for model in ("tiny", "mid"):
            with self.serving(self.ours(model), model, row) as port:
                found[model] = [self.measured(port, row, c, runs=1) for c in counts]
        for i, count in enumerate(counts):
            print(f"| {count} | {found['tiny'][i]} | {found['mid'][i]} |")
        print("\n| rows in a request, c=8 | tiny, rows/s | mid, rows/s |\n|---|---|---|")
        sizes = (1, 4, 16, 64, 256)
        rates: dict[str, list[float]] = {}
        for model in ("tiny", "mid"):
            with self.serving(self.ours(model), model, row) as port:
                rates[model] = []
                for size in sizes:
                    body = Body("/predict", json.dumps({"instances": [ROW] * size}).encode())
                    rates[model].append(self.measured(port, body, 8, runs=1).rate * size)
        for i, size in enumerate(sizes):
            print(f"| {size} | {rates['tiny'][i]:.0f} | {rates['mid'][i]:.0f} |")
        print()

    def table_of_tensors(self) -> None:
        """64 x 256 numbers in a request, as JSON and as bytes."""
        import numpy as np

        values = np.random.default_rng(1).random((64, 256), np.float32)
        tensor = {"name": "instances", "shape": [64, 256], "datatype": "FP32"}
        head = json.dumps(
            {
                "inputs": [{**tensor, "parameters": {"binary_data_size": values.nbytes}}],
                "parameters": {"binary_data_output": True},
            }
        ).encode()
        # As many digits as a client writes that computes in 64 bits.
        numbers = np.random.default_rng(1).random((64, 256)).round(8).tolist()
        infer = "/v2/models/bench/infer"
        bodies = {
            "/predict, JSON": Body("/predict", json.dumps({"instances": numbers}).encode()),
            "V2, JSON": Body(
                infer,
                json.dumps(
                    {"inputs": [{**tensor, "data": [value for row in numbers for value in row]}]}
                ).encode(),
            ),
            "V2, binary": Body(
                infer,
                head + values.tobytes(),
                {
                    "Content-Type": "application/octet-stream",
                    "Inference-Header-Content-Length": str(len(head)),
                },
            ),
        }
        print("| 64 x 256 numbers, c=8 | bytes | requests/s (p50 / p99 ms, processor) | to JSON |")
        print("|---|---|---|---|")
        base = 0.0
        with self.serving(self.ours("wide"), "wide", bodies["V2, JSON"]) as port:
            for label, body in bodies.items():
                figures = self.measured(port, body, 8)
                base = base or figures.rate
                print(f"| {label} | {len(body.content)} | {figures} | {figures.rate / base:.1f} |")
        print()

    def table_of_starts(self) -> None:
        """From the start of the process to the first prediction, and what it holds then."""
        row = Body("/predict", json.dumps({"instances": [ROW]}).encode())
        imports, starts, memory = [], [], []
        for _ in range(self.runs):
            began = time.monotonic()
            subprocess.run([self.python, "-c", "import torch"], check=True)
            imports.append(time.monotonic() - began)
            began = time.monotonic()
            with self.serving(self.ours("tiny"), "tiny", row, pinned=False) as port:
                starts.append(time.monotonic() - began)
                memory.append(resident(self.pid))
                del port
        first, base = statistics.median(starts), statistics.median(imports)
        print("| start | seconds | to `import torch` | resident MB |\n|---|---|---|---|")
        print(f"| import torch | {base:.2f} | 1 | |")
        print(
            f"| ours, torch lane, to its first prediction | {first:.2f} | {first / base:.2f} "
            f"| {statistics.median(memory):.0f} |"
        )

    # The servers

    def ours(self, model: str, mode: str = "drain") -> list[str]:
        """Our server, with everything that it checks and counts."""
        code = (
            "import sys; sys.argv[0] = 'serving'; import serving.app as app; make = app.create_app;"
            f"app.create_app = lambda *a, **k: make(*a, **{{**k, 'mode': {mode!r}}});"
            "from serving.__main__ import main; sys.exit(main())"
        )
        return [
            *(str(self.python), "-c", code, "--release", str(self.room / model)),
            *("--release-digest", "sha256:" + "0" * 64, "--port", "{port}"),
        ]

    def plain(self) -> list[str]:
        """The usual service."""
        return [str(self.python), "-m", "uvicorn", "plain:app", "--port", "{port}", *_QUIET]

    def echo(self) -> list[str]:
        """No model."""
        return [str(self.python), "-m", "uvicorn", "echo:app", "--port", "{port}", *_QUIET]

    def peers(self, row: Body) -> list[tuple[str, str, list[str], Body]]:
        """Other servers at the settings that were best for them, per model."""
        found = []
        for name, version in PACKAGES.items():
            self.installed(name, version)
        bento = Body("/predict", json.dumps({"rows": [ROW]}).encode())
        tensor = {"name": "instances", "shape": [1, len(ROW)], "datatype": "FP32", "data": ROW}
        mlserver = Body("/v2/models/bench/infer", json.dumps({"inputs": [tensor]}).encode())
        for model in ("tiny", "mid"):
            lit = [str(self.bin("litserve") / "python"), str(PEERS / "lit.py")]
            found += [
                (f"LitServe, no batches, {model}", model, [*lit, "1", "{port}"], row),
                (f"LitServe, 64 / 2 ms, {model}", model, [*lit, "64", "{port}"], row),
                (
                    f"BentoML, 64, {model}",
                    model,
                    [
                        str(self.bin("bentoml") / "bentoml"),
                        "serve",
                        "bento:Bench",
                        "--port",
                        "{port}",
                    ],
                    bento,
                ),
                (
                    f"MLServer, 64 / 2 ms, {model}",
                    model,
                    [str(self.bin("mlserver") / "mlserver"), "start", str(PEERS / "mlserver")],
                    mlserver,
                ),
            ]
        return found

    def installed(self, name: str, version: str) -> None:
        """The peer's environment."""
        if (self.bin(name) / "python").exists():
            return
        uv = shutil.which("uv") or str(self.python.parents[1] / "uv" / "bin" / "uv")
        folder = self.bin(name).parent
        subprocess.run([uv, "venv", "--quiet", "--python", self.python, folder], check=True)
        subprocess.run(
            [uv, "pip", "install", "--quiet", f"{name}=={version}", "torch", "numpy"],
            env={**os.environ, "VIRTUAL_ENV": str(folder)},
            check=True,
        )

    def bin(self, name: str) -> Path:
        """Where the peer's programs are."""
        return self.room / f"peer-{name}" / "bin"

    # Measuring

    @contextlib.contextmanager
    def serving(
        self, command: list[str], model: str, body: Body, pinned: bool = True
    ) -> Iterator[int]:
        """The server of `command`, once it has answered `body`."""
        port = 8800 if "mlserver" in command[0] else free_port()
        environment = {
            **os.environ,
            "MODEL": str(self.room / model / "model" / "model.pt2"),
            "PYTHONPATH": f"{REPOSITORY}:{PEERS}",
            "BENTOML_DO_NOT_TRACK": "1",
            "MLSERVER_HTTP_PORT": str(port),
        }
        with (self.room / "server.log").open("w") as log:
            process = subprocess.Popen(
                [
                    *(["taskset", "-c", "0"] if pinned else []),
                    *(part.format(port=port) if part == "{port}" else part for part in command),
                ],
                stdout=log,
                stderr=log,
                cwd=PEERS,
                env=environment,
                start_new_session=True,
            )
            self.pid = process.pid
            try:
                wait_for(port, body, process)
                yield port
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                    try:
                        process.wait(20)
                    except subprocess.TimeoutExpired:
                        os.killpg(process.pid, signal.SIGKILL)
                process.wait(20)

    def measured(self, port: int, body: Body, connections: int, runs: int | None = None) -> Figures:
        """The median of some runs, after one that warms up."""
        self.run(port, body, connections, 2)
        found = [self.run(port, body, connections, self.seconds) for _ in range(runs or self.runs)]
        return sorted(found, key=lambda figures: figures.rate)[len(found) // 2]

    def run(self, port: int, body: Body, connections: int, seconds: int) -> Figures:
        """One run of wrk."""
        content = self.room / "body"
        content.write_bytes(body.content)
        script = self.room / "ask.lua"
        headers = "\n".join(f'wrk.headers["{k}"] = "{v}"' for k, v in body.headers.items())
        script.write_text(
            f'local f = io.open("{content}", "rb"); wrk.body = f:read("*a"); f:close()\n'
            f'wrk.method = "POST"\n{headers}\n'
        )
        before = processor_seconds(self.pid)
        said = subprocess.run(
            [
                *("taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"),
                *("--latency", "--timeout", "10s", "-s", str(script)),
                f"http://127.0.0.1:{port}{body.path}",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        spent = processor_seconds(self.pid) - before
        requests = int(found(r"(\d+) requests in", said)[1])
        failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        return Figures(
            float(found(r"Requests/sec:\s+([\d.]+)", said)[1]),
            milliseconds(said, "50%"),
            milliseconds(said, "99%"),
            int(failed[1]) if failed else 0,
            spent / max(1, requests) * 1e6,
        )


_QUIET = ("--log-level", "error", "--no-access-log")


def found(pattern: str, said: str) -> re.Match[str]:
    """The place in what a program said. Raises ValueError when it is not there."""
    place = re.search(pattern, said)
    if place is None:
        raise ValueError(f"{pattern} is not in: {said}")
    return place


def milliseconds(said: str, share: str) -> float:
    """A percentile that wrk printed."""
    place = found(rf"{share}\s+([\d.]+)(us|ms|s)\b", said)
    return float(place[1]) * {"us": 0.001, "ms": 1, "s": 1000}[place[2]]


def wait_for(port: int, body: Body, process: subprocess.Popen[bytes]) -> None:
    """Return once `body` gets an answer."""
    deadline = time.monotonic() + 120
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{body.path}", body.content, body.headers
    )
    while True:
        try:
            urllib.request.urlopen(request, timeout=5).read()  # noqa: S310  our own server
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server does not answer: {error}; see server.log") from error
            time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def processor_seconds(session: int) -> float:
    """The processor time that the processes of a session have taken."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == session:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """The megabytes that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(found(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def make_release(folder: Path, width: int, hidden: int, layers: int) -> None:
    """A release as the pipeline leaves it, of a perceptron with so many hidden layers."""
    import torch

    torch.manual_seed(1)
    sizes = [width, *[hidden] * layers]
    parts: list[torch.nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        parts += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    module = torch.nn.Sequential(*parts, torch.nn.Linear(hidden, 2), torch.nn.Softmax(dim=1)).eval()
    batch = torch.export.Dim("batch", max=4096)
    program = torch.export.export(module, (torch.rand(4, width),), dynamic_shapes=({0: batch},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    data = buffer.getvalue()
    (folder / "model").mkdir(parents=True, exist_ok=True)
    (folder / "model" / "model.pt2").write_bytes(data)
    with torch.inference_mode():
        answer = module(torch.full((1, width), 0.5))[0].tolist()
    names = [f"feature_{i}" for i in range(width)]
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    settings: dict[str, Any] = {
        "format": 1,
        "model": {
            "name": "bench",
            "version": "1.0.0",
            "framework": "pytorch",
            "description": "",
            "file": "model/model.pt2",
            "digest": digest,
        },
        "lane": {"name": "torch", "digest": digest},
        "batching": "drain",
        "signature": {
            "inputs": [
                {"name": name, "type": "float", "minimum": -10, "maximum": 10000} for name in names
            ],
            "classes": CLASSES,
        },
        "golden_inputs": [
            {
                "name": "the middle",
                "instance": dict.fromkeys(names, 0.5),
                "expected": {
                    "prediction": CLASSES[answer.index(max(answer))],
                    "probabilities": dict(zip(CLASSES, answer, strict=True)),
                    "tolerance": 0.001,
                },
            }
        ],
        "logging": {"level": "warning", "format": "json"},
        "metrics": {"enabled": True},
    }
    (folder / "settings.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    main()
