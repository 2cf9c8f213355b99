"""How fast the inference server is beside its peers, in one run.

    make bench-serving

Each server runs alone on one processor, wrk on another. Read the figures as ratios: the machine
decides the rest. The peers are installed from their packages into environments of their own, below
`--room`, where they stay for the next run. Needs wrk (Debian has it), uv and two processors.

Prints Markdown tables, writes `results.json` into the room and the plots beside this file.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import timeit
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import releases
from contestants import ONE, ROW, Contestants
from load import Body, Figures, Running, Server, resident, serving

HERE = Path(__file__).parent
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ROWS = (1, 4, 16, 64, 256)
# Hidden units in each of three layers, and the parameters that this makes.
SIZES = (64, 256, 512, 1024, 2048)
MATPLOTLIB = "matplotlib==3.10.8"
LOAD = 0.8  # of what the server does at most


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    room = Path(tempfile.gettempdir()) / "bench-serving"
    parser.add_argument("--room", type=Path, default=room, help=f"default: {room}")
    parser.add_argument("--seconds", type=int, default=6, help="the length of one measurement")
    parser.add_argument("--runs", type=int, default=3, help="measurements, of which the median is")
    parser.add_argument("--without-peers", action="store_true", help="ours, plain and echo only")
    parser.add_argument("--only", choices=sorted(TABLES), action="append", help="these tables only")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: apt-get install wrk")
    if (os.cpu_count() or 1) < 2:
        sys.exit("two processors are needed: one for the server, one for the load")
    options.room.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.room, options.seconds, options.runs, peers=not options.without_peers)
    for name in options.only or TABLES:
        TABLES[name](bench)
    bench.finish()


class Bench:
    """What is measured, and what was found."""

    def __init__(self, room: Path, seconds: int, runs: int, *, peers: bool) -> None:
        self.room = room
        self.seconds = seconds
        self.runs = runs
        self.contestants = Contestants(room)
        self.found: dict[str, Any] = {}
        self.with_peers = peers
        if peers:
            self.contestants.install_peers()
        for name, sizes in {"tiny": (len(ROW), 64, 2), "mid": (len(ROW), 2048, 3)}.items():
            releases.make(room / name, *sizes)
        releases.make(room / "wide", 256, 64, 2)
        for hidden in SIZES:
            releases.make(room / f"hidden-{hidden}", len(ROW), hidden, 3)

    def serving(self, server: Server, *, pinned: bool = True) -> AbstractContextManager[Running]:
        """The server, for measurements of this length."""
        # What it wrote before would only fill the disk.
        (self.room / "audit.log").unlink(missing_ok=True)
        return serving(server, self.room, seconds=self.seconds, runs=self.runs, pinned=pinned)

    def finish(self) -> None:
        """Keep what was found, and draw it."""
        kept = self.room / "results.json"
        before = json.loads(kept.read_text()) if kept.exists() else {}
        kept.write_text(json.dumps(before | self.found, indent=2))
        python = self.contestants.install("plots", MATPLOTLIB)
        subprocess.run([python, HERE / "plots.py", kept, HERE], check=True)

    def servers(self) -> None:
        """Ours beside the others, at 1 and 64 connections."""
        c = self.contestants
        rows: dict[str, tuple[str, Figures, Figures]] = {}
        for model in ("tiny", "mid"):
            for key, server in {
                "plain": c.plain(model),
                **({"echo": c.echo()} if model == "tiny" else {}),
                "ours": c.guarded(model),
                "defaults": c.ours(model),
                "inline": c.guarded(model, "torch-inline"),
                "onnx": c.guarded(model, "onnx-drain"),
                **{p.label: p for p in (c.peers(model) if self.with_peers else ())},
            }.items():
                with self.serving(server) as running:
                    figures = [running.measured(n) for n in (1, 64)]
                rows[f"{key} {model}" if key in KEYS else key] = (server.label, *figures)
        heading("Beside others")
        table("server: requests/s (p50 / p99 ms, processor)", "c=1", "c=64", "to plain", "c=64")
        for key, (label, one, many) in rows.items():
            _, plain_one, plain_many = rows["plain mid" if key.endswith("mid") else "plain tiny"]
            shares = (f"{one.rate / plain_one.rate:.1f}", f"{many.rate / plain_many.rate:.1f}")
            line(label, one, many, *shares)
        self._aims(rows)
        self.found["servers"] = {
            key: {"label": label, "one": vars_of(one), "many": vars_of(many)}
            for key, (label, one, many) in rows.items()
        }

    def _aims(self, rows: dict[str, tuple[str, Figures, Figures]]) -> None:
        def many(key: str) -> float:
            return rows[key][2].rate

        ours = many("ours tiny")
        print()
        table("aim, everything on", "reached", "aimed at")
        line("tiny, c=64, to the plain service", f"{ours / many('plain tiny'):.1f}", "18")
        for name, aim in (("LitServe", "16"), ("BentoML", "-"), ("MLServer", "8")):
            rates = [m.rate for k, (_, _, m) in rows.items() if k.startswith(name) and "tiny" in k]
            if rates:
                line(f"tiny, c=64, to {name} at its best", f"{ours / max(rates):.1f}", aim)
        line("tiny, c=64, of the echo", f"{ours / many('echo tiny'):.0%}", "65%")
        p50 = rows["ours tiny"][1].p50 / rows["inline tiny"][1].p50
        line("tiny, c=1, p50 to inline's", f"{p50:.3f}", "1.05")
        unbatched = many("inline mid")
        line("mid, c=64, to its unbatched rate", f"{many('ours mid') / unbatched:.1f}", "5.5")

    def features(self) -> None:
        """What each feature costs, at 64 connections."""
        c = self.contestants
        key = c.keyed()
        known = ONE.known_by(key)
        servers = {
            "none of them": c.ours("tiny", "torch-bare"),
            "metrics": c.ours("tiny"),
            "keys": c.ours("tiny", "torch-bare", body=known, **c.keys),
            "audit log": c.ours("tiny", "torch-bare", **c.audit),
            "all three": c.guarded("tiny"),
        }
        # In turns, so that a machine that slows down slows all of them down.
        taken: dict[str, list[Figures]] = {name: [] for name in servers}
        for _ in range(self.runs):
            for name, server in servers.items():
                with self.serving(server) as running:
                    taken[name].append(running.measured(64, runs=1))
        found = {
            name: sorted(figures, key=lambda each: each.rate)[len(figures) // 2]
            for name, figures in taken.items()
        }
        heading("What each feature costs: tiny, 64 connections")
        table("switched on", "requests/s (p50 / p99 ms, processor)", "less", "µs a request")
        base = found["none of them"]
        for name, figures in found.items():
            less, more = base.rate - figures.rate, figures.processor - base.processor
            line(name, figures, f"{less:.0f} ({less / base.rate:.1%})", f"{more:.1f}")
        checked, unchecked = validation()
        share = (checked - unchecked) / base.processor
        print(
            f"\nValidation cannot be switched off. To check a row takes {checked:.1f} µs, to take "
            f"it over unchecked {unchecked:.1f} µs: {share:.1%} of a request.\n"
        )
        self.found["features"] = {name: vars_of(figures) for name, figures in found.items()}

    def growth(self) -> None:
        """How the rate grows with connections, rows in a request, and the model's size."""
        c = self.contestants
        connections: dict[str, list[Figures]] = {}
        rates: dict[str, list[float]] = {}
        for model in ("tiny", "mid"):
            with self.serving(c.guarded(model)) as running:
                connections[model] = [running.measured(n, runs=1) for n in CONNECTIONS]
                rates[model] = []
                for size in ROWS:
                    body = Body("/predict", json.dumps({"instances": [ROW] * size}).encode())
                    figures = running.measured(8, body.known_by(c.keyed()), runs=1)
                    rates[model].append(figures.rate * size)
        heading("With connections, and with rows in a request")
        table("connections", "tiny", "mid")
        for i, count in enumerate(CONNECTIONS):
            line(count, connections["tiny"][i], connections["mid"][i])
        print()
        table("rows in a request, c=8", "tiny, rows/s", "mid, rows/s")
        for i, size in enumerate(ROWS):
            line(size, f"{rates['tiny'][i]:.0f}", f"{rates['mid'][i]:.0f}")
        sizes: dict[str, list[float]] = {}
        for release in ("torch-inline", "torch-drain", "onnx-inline", "onnx-drain"):
            sizes[release] = []
            for hidden in SIZES:
                with self.serving(c.guarded(f"hidden-{hidden}", release)) as running:
                    sizes[release].append(running.measured(64, runs=1).rate)
        heading("With the model's size: 64 connections, requests/s")
        table("parameters", *sizes)
        for i, hidden in enumerate(SIZES):
            line(f"{parameters(hidden):,}", *(f"{rates[i]:.0f}" for rates in sizes.values()))
        self.found["growth"] = {
            "connections": CONNECTIONS,
            "by_connections": {m: [f.rate for f in found] for m, found in connections.items()},
            "rows": ROWS,
            "by_rows": rates,
            "parameters": [parameters(hidden) for hidden in SIZES],
            "by_parameters": sizes,
        }

    def tensors(self) -> None:
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
        flat = {**tensor, "data": [value for row in numbers for value in row]}
        infer = "/v2/models/bench/infer"
        binary = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(head)),
        }
        bodies = {
            "/predict, JSON": Body("/predict", json.dumps({"instances": numbers}).encode()),
            "V2, JSON": Body(infer, json.dumps({"inputs": [flat]}).encode()),
            "V2, binary": Body(infer, head + values.tobytes(), binary),
        }
        heading("64 x 256 numbers in a request, 8 connections")
        table("body", "bytes", "requests/s (p50 / p99 ms, processor)", "to JSON")
        key = self.contestants.keyed()
        base = 0.0
        server = self.contestants.guarded("wide")
        first = bodies["V2, JSON"].known_by(key)
        with self.serving(dataclasses.replace(server, body=first)) as running:
            for label, body in bodies.items():
                figures = running.measured(8, body.known_by(key))
                base = base or figures.rate
                line(label, len(body.content), figures, f"{figures.rate / base:.1f}")

    def tails(self) -> None:
        """The 99th percentile beside the median, at 80 % of what the server does."""
        heading(f"At {LOAD:.0%} load: callers who wait at random before they ask again")
        table(
            "model",
            "most",
            "connections",
            "requests/s (p50 / p99 ms, processor)",
            "load",
            "p99 to p50",
        )
        for model in ("tiny", "mid"):
            with self.serving(self.contestants.guarded(model)) as running:
                most = running.measured(64)
                # Each asks once in `think`; there are as many as make the load.
                connections = 256
                think = connections / (LOAD * most.rate) * 1000
                figures = running.measured(connections, think=think)
            line(
                model,
                f"{most.rate:.0f}",
                connections,
                figures,
                f"{figures.rate / most.rate:.0%}",
                f"{figures.p99 / figures.p50:.1f}",
            )

    def starts(self) -> None:
        """From the start of the process to the first prediction, and what it holds then."""
        c = self.contestants
        servers = {
            "torch lane": c.ours("tiny"),
            "onnx lane": c.ours("tiny", "onnx-drain"),
            "torch lane, 2 workers": c.ours("tiny", workers=2),
            "onnx lane, 2 workers": c.ours("tiny", "onnx-drain", workers=2),
            "torch lane, mid": c.ours("mid"),
            "torch lane, mid, 2 workers": c.ours("mid", workers=2),
        }
        # Compiled as in the image: the environment may forbid Python to keep what it compiles.
        packages = sysconfig.get_path("purelib")
        command = [c.python, "-m", "compileall", "-qq", "-j", "0", packages]
        subprocess.run(command, check=False)  # not every file is of this Python
        imports: list[float] = []
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
        for _ in range(self.runs):
            began = time.monotonic()
            subprocess.run([c.python, "-c", "import torch"], check=True)
            imports.append(time.monotonic() - began)
            for name, server in servers.items():
                began = time.monotonic()
                with self.serving(server, pinned=False) as running:
                    taken[name].append((time.monotonic() - began, resident(running.pid)))
        base = statistics.median(imports)
        heading("From the start of the process to the first prediction")
        table("", "seconds", "to `import torch`", "MB held")
        line("import torch", f"{base:.2f}", "1", "")
        for name, pairs in taken.items():
            seconds = statistics.median(seconds for seconds, _ in pairs)
            memory = statistics.median(held for _, held in pairs)
            line(name, f"{seconds:.2f}", f"{seconds / base:.2f}", f"{memory:.0f}")


KEYS = ("plain", "echo", "ours", "defaults", "inline", "onnx")
TABLES: dict[str, Callable[[Bench], None]] = {
    "servers": Bench.servers,
    "features": Bench.features,
    "growth": Bench.growth,
    "tensors": Bench.tensors,
    "tails": Bench.tails,
    "starts": Bench.starts,
}


def validation() -> tuple[float, float]:
    """Microseconds to check one row against its signature, and to take it over unchecked."""
    import numpy as np

    from serving.settings import Feature
    from serving.signature import Signature

    signature = Signature([Feature(f"feature_{i}", "float", -10, 10000) for i in range(len(ROW))])

    def checked() -> None:
        packed = signature.packed([ROW])
        if packed is None or signature.misfits(np.frombuffer(packed).reshape(1, -1)) is not None:
            raise ValueError("the row is a good one")

    def unchecked() -> None:
        np.array([ROW], np.float64)

    return microseconds(checked), microseconds(unchecked)


def microseconds(function: Callable[[], None]) -> float:
    """The least of five times that a call took."""
    times = 20_000
    return min(timeit.repeat(function, number=times, repeat=5)) / times * 1e6


def parameters(hidden: int) -> int:
    """Of a perceptron with three hidden layers and two classes."""
    return (len(ROW) + 1) * hidden + 2 * (hidden + 1) * hidden + (hidden + 1) * 2


def vars_of(figures: Figures) -> dict[str, float]:
    """The figures as JSON takes them."""
    return dataclasses.asdict(figures)


def heading(text: str) -> None:
    """A part of the report."""
    print(f"\n### {text}\n", flush=True)


def table(*titles: str) -> None:
    """The head of a table in Markdown."""
    line(*titles)
    print("|" + "---|" * len(titles))


def line(*cells: object) -> None:
    """A line of a table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
