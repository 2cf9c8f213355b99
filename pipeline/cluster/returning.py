"""Back to what served before a change, or to nothing where nothing did."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import anyio
import anyio.to_thread

from pipeline.catalog.interface import Event, Kind
from pipeline.cluster import answers
from pipeline.cluster.work import REMOVING, Work, deployment_of, once
from pipeline.errors import EnvironmentFailed, InvalidInput
from pipeline.record import Outcome, StageReport
from pipeline.stages.interface import Context
from pipeline.targets.kubernetes import apply, waiting
from pipeline.targets.kubernetes.cluster import Lost, NoSuchKind, Refused
from pipeline.targets.kubernetes.journal import Change, Journal
from pipeline.targets.kubernetes.objects import Key, keys, split
from pipeline.targets.kubernetes.waiting import NotReady

ROLLBACK = "rollback"
RESTORING = 300.0  # seconds, for what served before to be ready again


async def back(work: Work, journal: Journal, change: Change) -> None:
    """Put back what `journal` says that should serve, and verify it; say how that went."""
    context = work.open_stage(ROLLBACK)
    began = time.monotonic()
    planned = [Key.read(text) for text in change.inventory]
    await work.records.write(
        journal.model_copy(
            update={"change": change.model_copy(update={"doing": "putting back what served"})}
        )
    )
    try:
        if journal.serving is None:
            context.progress.step("removing it: nothing served before")
            await _withdrawn(work, planned, change)
            summary, former = "nothing serves, as before, and nothing was left", None
        else:
            former = await _restored(work, context, journal, journal.serving, planned)
            summary = f"{former.version} serves again, verified through its Service"
    except Lost:
        raise
    except (NotReady, Refused, NoSuchKind, InvalidInput, EnvironmentFailed) as failure:
        work.stuck = f"what served before does not come back: {failure}"
        outcome, summary, former = Outcome.FAILED, work.stuck, None
    else:
        outcome = Outcome.PASSED
        await _tell(work, former)
    work.keep(
        StageReport(
            stage=ROLLBACK,
            outcome=outcome,
            summary=summary,
            outputs={} if former is None else {"release": former.release},
            seconds=time.monotonic() - began,
        )
    )


async def _tell(work: Work, former: Event | None) -> None:
    """Tell the catalog of a revision that did serve for a while, and of what serves again."""
    failed, work.served = work.served, None
    if failed is None:
        return
    await anyio.to_thread.run_sync(work.catalog.register, failed)
    kind = Kind.STOP if former is None else Kind.ROLLBACK
    told = (former or failed).model_copy(
        update={"kind": kind, "run": failed.run, "at": datetime.now(UTC)}
    )
    await anyio.to_thread.run_sync(work.catalog.register, told)


async def _restored(
    work: Work, context: Context, journal: Journal, serving: str, planned: list[Key]
) -> Event:
    former = await work.records.revision(serving)
    context.progress.step(f"returning to {former.event.version}")
    documents, _ = await apply.known(work.cluster, former.documents, work.settings.may_lack)
    _, inside = split(documents)
    marked = await apply.retried(work.cluster, inside)
    await apply.apply(work.cluster, marked, force=True)
    deployment = await waiting.rolled_out(
        work.cluster, deployment_of(inside), RESTORING, once(context)
    )
    there = set(keys(inside))
    await apply.remove(
        work.cluster, [key for key in planned if key not in there], work.records.name
    )
    trouble = await answers.restored_answers(work, context, former, inside, deployment)
    if trouble:
        raise NotReady(trouble)
    await work.records.write(journal.model_copy(update={"change": None}))
    await work.records.prune(journal)
    return former.event


async def _withdrawn(work: Work, planned: list[Key], change: Change) -> None:
    left = await apply.remove(work.cluster, planned, work.records.name, wait=REMOVING)
    if left:
        raise NotReady(f"{', '.join(map(str, left))} cannot be removed")
    await work.records.clear()
    if change.made_namespace:
        work.made = [Key("v1", "Namespace", "", work.records.namespace)]
