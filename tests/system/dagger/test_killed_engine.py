"""An engine that is killed or started again costs the calls in between, and nothing after it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from calls import CLI, REPOSITORY, Pulled, dagger, images, needs_our_engine, pulled, registry
from conftest import Call

SCRIPTS = REPOSITORY / "tests" / "system" / "engine"
NAME = "again"
VARIABLES = ("MLIFECYCLE_TEST_ENGINE", "_EXPERIMENTAL_DAGGER_RUNNER_HOST")

pytestmark = needs_our_engine


def start() -> dict[str, str]:
    """Start the engine of this test's own; the variables that lead to it."""
    lines = subprocess.run([SCRIPTS / "up.sh", NAME], check=True, capture_output=True, text=True)
    printed = "printf '%s\\0' " + " ".join(f'"{name}=${name}"' for name in VARIABLES)
    shell = ["/bin/bash", "-c", f"{lines.stdout}\n{printed}"]
    values = subprocess.run(shell, check=True, capture_output=True, text=True).stdout
    return dict(pair.split("=", 1) for pair in values.split("\0") if pair)


@pytest.fixture(scope="module")
def engine() -> Iterator[dict[str, str]]:
    try:
        yield start()
    finally:
        subprocess.run([SCRIPTS / "down.sh", NAME, "--purge"], check=True)


def wait_for(file: Path, words: str) -> None:
    """Until a file says so."""
    deadline = time.monotonic() + 600
    while words not in file.read_text(errors="replace"):
        assert time.monotonic() < deadline, file.read_text(errors="replace")
        time.sleep(0.1)


def lasting(configuration: dict[str, Any]) -> dict[str, Any]:
    """A configuration without what Dagger's exporter tells of its own work: see docs/image.md."""
    return {k: v for k, v in configuration.items() if k not in ("created", "history")}


def build(good: Path, where: str) -> list[str]:
    """The words of a call that builds and publishes, after its options."""
    words = ["--source", str(good.parent), "build", "--manifest", str(good)]
    return [*words, "publish", "--address", registry(f"killed/{where}")]


def test_the_next_call_builds_the_same_image_from_nothing(
    call: Call, small: Path, good: Path, engine: dict[str, str], tmp_path: Path
) -> None:
    theirs = ["call", *images(), *build(good, "theirs")]
    progress = tmp_path / "progress"
    with progress.open("w") as output:
        client = subprocess.Popen(
            [os.environ[CLI], *theirs],
            cwd=small,
            env=os.environ | engine,
            stdout=subprocess.DEVNULL,
            stderr=output,
        )
        try:
            wait_for(progress, "Mlifecycle.build(")
            running = Path(engine["MLIFECYCLE_TEST_ENGINE"]) / "engine.pid"
            os.kill(int(running.read_text()), signal.SIGKILL)
        finally:
            client.kill()
            client.wait()
    start()
    done = [dagger(small, *theirs, **engine), call(*build(good, "ours"))]
    assert [each.returncode for each in done] == [0, 0], done[0].stderr
    # Another engine that has nothing of what this one keeps, and the same bytes.
    made_there, made_here = (pulled(each.stdout.strip()) for each in done)
    assert made_there.manifest["layers"] == made_here.manifest["layers"]
    assert lasting(made_there.configuration) == lasting(made_here.configuration)


def test_an_engine_that_was_started_again_publishes_what_it_kept(
    small: Path, good: Path, engine: dict[str, str]
) -> None:
    def published() -> Pulled:
        done = dagger(small, "call", *images(), *build(good, "kept"), **engine)
        assert done.returncode == 0, done.stderr
        return pulled(done.stdout.strip())

    before = published()
    subprocess.run([SCRIPTS / "down.sh", NAME], check=True)
    start()
    after = published()
    # It tells of the same layers otherwise, or this test shows nothing.
    assert after.digest != before.digest
    assert after.manifest["layers"] == before.manifest["layers"]
    assert lasting(after.configuration) == lasting(before.configuration)
    assert published().digest == after.digest
