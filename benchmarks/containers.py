"""How long the main job takes in containers: cold, again, and parts of it, as shares of the cold.

Needs the variables of `tests/system/engine/up.sh`. Cold means an engine of its own, which is
brought up for this and removed afterwards; tool images come from the loopback registry.

    eval "$(tests/system/engine/up.sh bench)" && python benchmarks/containers.py
    tests/system/engine/down.sh bench --purge
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
MANIFEST = "examples/valid/model-manifest.yaml"
DENIED = "examples/invalid/MG-ACC-001.yaml"


def seconds(*arguments: str, code: int = 0) -> float:
    """How long a call takes, the command line's own start included."""
    images = ["--images", os.environ["MLIFECYCLE_TEST_IMAGES"]]
    command = [os.environ["_EXPERIMENTAL_DAGGER_CLI_BIN"], "call", *images, *arguments]
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=3600, check=False
    )
    if done.returncode != code:
        sys.exit(done.stderr)
    return time.monotonic() - began


def main() -> None:
    """Print the table."""
    calls = {
        "deploy, new engine": lambda: seconds("deploy", "--manifest", MANIFEST),
        "deploy, nothing changed": lambda: seconds("deploy", "--manifest", MANIFEST),
        "deploy, nothing changed, again": lambda: seconds("deploy", "--manifest", MANIFEST),
        "deploy, denied by the policies": lambda: seconds("deploy", "--manifest", DENIED, code=1),
        "govern": lambda: seconds("govern", "--manifest", MANIFEST, "summary"),
        "validate": lambda: seconds("validate", "--manifest", MANIFEST),
    }
    measured = {name: call() for name, call in calls.items()}
    cold = next(iter(measured.values()))
    print("| call | seconds | share of the cold deploy |\n|---|---|---|")
    for name, took in measured.items():
        print(f"| {name} | {took:.1f} | {took / cold:.1%} |")


if __name__ == "__main__":
    main()
