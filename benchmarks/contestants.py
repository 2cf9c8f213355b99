"""Our server and its peers, each as it is started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import releases
from load import FIXED, PORT, Body, Server

REPOSITORY = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
ROW = [0.1234, 1.5, 3, 0.25, 1850.0, 4, 11.5, 0, 1, 2]
ONE = Body("/predict", json.dumps({"instances": [ROW]}).encode())
# The version that was read before its peer was written.
PACKAGES = {"litserve": "0.2.19", "bentoml": "1.4.40", "mlserver": "1.7.1"}
_QUIET = ("--log-level", "error", "--no-access-log")


class Contestants:
    """The servers of one room, which holds the releases and the peers' environments."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.python = Path(sys.executable)

    def ours(
        self,
        model: str,
        release: str = "torch-drain",
        *,
        label: str = "",
        body: Body = ONE,
        workers: int = 1,
        **settings: str,
    ) -> Server:
        """Our server with one of the model's releases. `settings` are its variables."""
        return Server(
            label or f"ours, {release}, {model}",
            [
                *(self.python, "-P", "-m", "serving", "--release", self.room / model / release),
                *("--release-digest", "sha256:" + "0" * 64, "--port", PORT),
                *("--workers", str(workers)),
            ],
            body,
            {
                "PYTHONPATH": str(REPOSITORY),
                **{f"MLIFECYCLE_SERVING_{name.upper()}": value for name, value in settings.items()},
            },
        )

    def guarded(self, model: str, release: str = "torch-drain", **settings: str) -> Server:
        """Ours with everything on: keys, audit log and metrics."""
        known = self.keyed()
        label = f"ours, everything on, {release}, {model}"
        server = self.ours(model, release, label=label, **{**self.keys, **self.audit, **settings})
        return replace(server, body=server.body.known_by(known))

    @property
    def keys(self) -> dict[str, str]:
        """The settings that let holders of keys in and nobody else."""
        return {"authentication": "keys", "keys_file": str(self.room / "keys.json")}

    @property
    def audit(self) -> dict[str, str]:
        """The setting that has a line written for every request."""
        return {"audit": str(self.room / "audit.log")}

    def keyed(self) -> str:
        """A key that the server knows; both are made once."""
        kept = self.room / "key"
        if not kept.exists():
            file = self.room / "keys.json"
            file.unlink(missing_ok=True)
            command = [self.python, "-P", "-m", "serving", "keys", "new", "bench", "--file", file]
            variables = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
            made = subprocess.run(
                command, env=variables, capture_output=True, text=True, check=True
            )
            kept.write_text(made.stdout.strip())
        return kept.read_text()

    def plain(self, model: str) -> Server:
        """The usual service."""
        return self._uvicorn(f"plain FastAPI, {model}", "plain:app", model)

    def echo(self) -> Server:
        """The same bodies in the same uvicorn, and no model."""
        return self._uvicorn("echo in stock uvicorn, no model", "echo:app", "tiny")

    def _uvicorn(self, label: str, application: str, model: str) -> Server:
        command = [self.python, "-m", "uvicorn", application, "--port", PORT, *_QUIET]
        return Server(label, command, ONE, self._variables(model), PEERS)

    def peers(self, model: str) -> list[Server]:
        """The others, with and without batches: the better of the two is a peer's best."""
        variables = self._variables(model)
        lit = [self._bin("litserve") / "python", PEERS / "lit.py"]
        bento = Body("/predict", json.dumps({"rows": [ROW]}).encode())
        tensor = {"name": "instances", "shape": [1, len(ROW)], "datatype": "FP32", "data": ROW}
        infer = Body("/v2/models/bench/infer", json.dumps({"inputs": [tensor]}).encode())
        found = []
        for size, wait in ((1, "0"), (64, "0.0"), (64, "0.002")):
            label = f"LitServe, {f'64 / {float(wait) * 1000:g} ms' if size > 1 else 'no batches'}"
            command = [*lit, str(size), wait, PORT]
            found.append(Server(f"{label}, {model}", command, ONE, variables, PEERS))
        for batches in ("yes", "no"):
            label = "BentoML, 64" if batches == "yes" else "BentoML, no batches"
            command = [self._bin("bentoml") / "bentoml", "serve", "bento:Bench", "--port", PORT]
            more = {**variables, "BATCHES": batches, "BENTOML_DO_NOT_TRACK": "1"}
            found.append(Server(f"{label}, {model}", command, bento, more, PEERS))
        for size in (64, 0):
            label = "MLServer, 64 / 2 ms" if size else "MLServer, no batches"
            folder = self._mlserver(size)
            command = [self._bin("mlserver") / "mlserver", "start", folder]
            found.append(Server(f"{label}, {model}", command, infer, variables, PEERS, FIXED))
        return found

    def _variables(self, model: str) -> dict[str, str]:
        return {
            "MODEL": str(self.room / model / releases.EAGER),
            "PYTHONPATH": f"{REPOSITORY}:{PEERS}",
        }

    def _mlserver(self, size: int) -> Path:
        """A model repository of MLServer with batches of this size."""
        folder = self.room / f"mlserver-{size}"
        shutil.copytree(PEERS / "mlserver", folder, dirs_exist_ok=True)
        settings = folder / "model-settings.json"
        batches = {"max_batch_size": size, "max_batch_time": 0.002 if size else 0}
        settings.write_text(json.dumps(json.loads(settings.read_text()) | batches))
        return folder

    def install_peers(self) -> None:
        """Each peer in an environment of its own, where it is not yet."""
        for name, version in PACKAGES.items():
            self.install(name, f"{name}=={version}", "torch", "numpy")

    def install(self, name: str, *packages: str) -> Path:
        """The Python of an environment with these packages."""
        python = self._bin(name) / "python"
        if not (self._bin(name).parent / "whole").exists():
            uv = shutil.which("uv") or str(self.python.parents[1] / "uv" / "bin" / "uv")
            folder = self._bin(name).parent
            command = [uv, "venv", "--quiet", "--clear", "--python", self.python, folder]
            subprocess.run(command, check=True)
            subprocess.run(
                [uv, "pip", "install", "--quiet", *packages],
                env={**os.environ, "VIRTUAL_ENV": str(folder)},
                check=True,
            )
            (folder / "whole").touch()
        return python

    def _bin(self, name: str) -> Path:
        return self.room / f"peer-{name}" / "bin"
