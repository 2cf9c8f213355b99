"""Calls of Dagger functions on the engine that `tests/system/engine/up.sh` names."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = REPOSITORY / "examples"
# Minutes of it are the first build, with torch's several gigabytes.
LIMIT = 3600  # seconds
MANIFEST_KIND = "application/vnd.oci.image.manifest.v1+json"

CLI = "_EXPERIMENTAL_DAGGER_CLI_BIN"
# An engine that `up.sh` found and did not make. Without any, every test fails (`conftest.py`).
STOCK = CLI in os.environ and "MLIFECYCLE_TEST_ENGINE" not in os.environ
needs_registry = pytest.mark.skipif(STOCK, reason="a stock engine comes without a registry")
needs_our_engine = pytest.mark.skipif(STOCK, reason="a stock engine is not ours to look into")


def images() -> list[str]:
    """The option that names the tests' own images; none on a stock engine."""
    file = os.environ.get("MLIFECYCLE_TEST_IMAGES")
    return ["--images", file] if file else []


def registry(name: str) -> str:
    """A repository in the tests' registry."""
    return f"{os.environ['MLIFECYCLE_TEST_REGISTRY']}/{name}"


@dataclass(frozen=True)
class Pulled:
    """What the tests' registry holds of an image. `layers` are unpacked when they are asked for."""

    digest: str
    manifest: dict[str, Any]
    configuration: dict[str, Any]
    base: str

    def layers(self) -> Iterator[bytes]:
        for layer in self.manifest["layers"]:
            assert layer["mediaType"].endswith("tar+gzip")
            yield zlib.decompress(_get(f"{self.base}/blobs/{layer['digest']}"), wbits=31)


def pulled(reference: str) -> Pulled:
    """The image of a reference with tag and digest."""
    address, _, digest = reference.partition("@")
    host, _, name = address.rpartition(":")[0].partition("/")
    base = f"http://{host}/v2/{name}"
    data = _get(f"{base}/manifests/{digest}")
    manifest = json.loads(data)
    configuration = json.loads(_get(f"{base}/blobs/{manifest['config']['digest']}"))
    return Pulled(f"sha256:{hashlib.sha256(data).hexdigest()}", manifest, configuration, base)


def _get(url: str) -> bytes:
    wanted = urllib.request.Request(url, headers={"accept": MANIFEST_KIND})
    with urllib.request.urlopen(wanted, timeout=120) as reply:
        return bytes(reply.read())


def dagger(
    folder: Path, *arguments: str | Path, stdin: str = "", limit: int = LIMIT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder, with these variables besides.

    `limit` is in seconds: a call waits for ever for an engine that was taken away.
    """
    return subprocess.run(
        [os.environ[CLI], *map(str, arguments)],
        cwd=folder,
        input=stdin,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )


def message(done: subprocess.CompletedProcess[str]) -> str:
    """What a call that failed says at its end."""
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr.rpartition("\nError: ")[2]


def model_repository(folder: Path, manifest: Path) -> Path:
    """A repository as a data scientist has it: `model-manifest.yaml` and what lies beside it."""
    shutil.copytree(EXAMPLES / "valid" / "fraud-detector", folder / "fraud-detector")
    shutil.copy(EXAMPLES / "valid" / "model-manifest.lock.txt", folder)
    shutil.copy(manifest, folder / "model-manifest.yaml")
    make = ["git", "init", "--quiet", str(folder)]
    subprocess.run(make, check=True)
    return folder


@contextmanager
def serving(module: Path, *function: str | Path) -> Iterator[str]:
    """The address at which a function's service answers, as long as the call goes on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [os.environ[CLI], "call", *images(), *function, "up", "--ports", f"{port}:8000"]
    running = subprocess.Popen(
        list(map(str, command)),
        cwd=module,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 300
        while running.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{address}/ready", timeout=5).close()
            except OSError:
                time.sleep(0.3)
            else:
                break
        yield address
    finally:
        running.terminate()
        running.wait(60)
