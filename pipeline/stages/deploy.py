"""deploy: start a release beside what serves, without traffic, and wait until it is ready."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from pipeline.places.interface import Built
from pipeline.record import Outcome, StageReport
from pipeline.stages.interface import Context
from pipeline.targets.interface import Candidate, CandidateFailed, Served
from pipeline.verdict import Violation

NAME = "deploy"
# A cold start reads some gigabytes of torch from a disk that may be slow.
READY_SECONDS = 180.0


async def run(
    context: Context,
    start: Callable[[], Awaitable[Candidate]],
    release: Built,
    now: Served | None,
) -> tuple[StageReport, Candidate | None]:
    """Start `release` with `start`, unless it is what serves already.

    Returns the ready candidate, or None when there is nothing to start or it did not get ready;
    the report tells which. Raises EnvironmentFailed when no process can be started.
    """
    began = time.monotonic()
    inputs = {"release": release.digest}

    def report(outcome: Outcome, summary: str, *violations: Violation) -> StageReport:
        return StageReport(
            stage=NAME,
            outcome=outcome,
            summary=summary,
            inputs=inputs,
            violations=violations,
            seconds=time.monotonic() - began,
            reused=serves_already,
        )

    serves_already = now is not None and now.healthy and now.release == release.digest
    if now is not None and serves_already:
        since = now.since.astimezone().isoformat(sep=" ", timespec="seconds")
        return report(Outcome.PASSED, f"{now.version} serves since {since}"), None
    context.progress.step(f"starting {release.version} beside {now.version if now else 'nothing'}")
    candidate = await start()
    try:
        context.progress.step("waiting for the model to load and answer its golden inputs")
        await candidate.ready(READY_SECONDS)
    except CandidateFailed as failure:
        await candidate.discard()
        log = "\n".join(failure.log[-20:])
        violation = Violation(
            id="DP-RDY-001",
            title="The new version does not get ready",
            path=f"release {release.digest}",
            actual=f"{failure.reason}\n{log}".strip(),
            expected=f"ready within {READY_SECONDS:.0f} s",
            remedy="Read the log above: its last lines say why.",
        )
        return report(Outcome.DENIED, f"{release.version} did not get ready", violation), None
    except BaseException:
        await candidate.discard()
        raise
    return report(Outcome.PASSED, f"{release.version} is ready, without traffic"), candidate
