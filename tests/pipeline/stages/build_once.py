"""One build in a process of its own, for tests that kill it, starve it, or start two.

    build_once.py MANIFEST STATE BUNDLED [kill|starve STEP]

At the step whose announcement starts with STEP, `kill` says so and waits to be killed in the
middle of it; `starve` lets no file grow over 100 bytes from then on. Ends with the product's exit
codes. Every announcement is printed as `step: …`, the result as `release: … reused: …`.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

import anyio

from pipeline import installation, release_folder, resources
from pipeline import manifest as manifests
from pipeline.environment import Environment
from pipeline.errors import MlifecycleError
from pipeline.places.host import FolderBuilder
from pipeline.policy.bundle import Bundle
from pipeline.runtimes.host import Host
from pipeline.stages import build
from pipeline.stages.interface import Context
from pipeline.state import State


class Yes:
    """A policy engine that has no objection."""

    name = "yes"

    async def version(self) -> str:
        return "1"

    async def evaluate(self, bundle: Any, query: str, document: Any) -> Any:
        return {"allow": True, "violations": []}


class Steps:
    def step(self, message: str) -> None:
        print("step:", message, flush=True)
        if what == "starve" and message.startswith(at):
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))


def hang(*_: object) -> None:
    print("hanging", flush=True)
    time.sleep(600)


manifest, state, bundled = (Path(argument) for argument in sys.argv[1:4])
what, at = sys.argv[4:6] if len(sys.argv) > 4 else ("", "")
resources.folder = lambda name: bundled / name
if what == "kill" and at == "installing":
    installation.inventory.of = hang  # type: ignore[assignment]
elif what == "kill":
    release_folder._copy = hang  # type: ignore[assignment]

context = Context(
    environment=Environment.LOCAL,
    bundle=Bundle({}, {}, {}, {}, "sha256:none"),
    engine=Yes(),
    runtime=Host(),
    builder=FolderBuilder(Host(), State(state)),
    state=State(state),
    run_folder=state / "run",
    progress=Steps(),
)
try:
    report, release = anyio.run(build.run, context, manifests.load(manifest))
except MlifecycleError as error:
    print("error:", error)
    sys.exit(error.exit_code)
print("release:", release.digest if release else None, "reused:", report.reused)
