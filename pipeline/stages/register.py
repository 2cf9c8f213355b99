"""register: tell the catalog what serves now, since when, and on whose verdict."""

from __future__ import annotations

import time

import anyio.to_thread

from pipeline.catalog.interface import Catalog, Event
from pipeline.record import Outcome, StageReport
from pipeline.stages.interface import Context

NAME = "register"


async def run(context: Context, catalog: Catalog, event: Event) -> StageReport:
    """Record `event`. Repeating it for the same run changes nothing.

    Raises EnvironmentFailed when the catalog cannot be written; what serves goes on serving, and
    the next command on this model writes the entry from the deployment's own record.
    """
    began = time.monotonic()
    context.progress.step(f"recording {event.version} in the catalog")
    await anyio.to_thread.run_sync(catalog.register, event)
    return StageReport(
        stage=NAME,
        outcome=Outcome.PASSED,
        summary=f"{event.namespace}/{event.name} {event.version} serves in {event.environment}",
        inputs={"release": event.release},
        seconds=time.monotonic() - began,
    )
