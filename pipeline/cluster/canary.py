"""A few pods of the new version beside the old one, which both are asked and compared."""

from __future__ import annotations

import contextlib
import time

import anyio
import anyio.to_thread

from pipeline.cluster.work import Denied, Work, applied, deployment_of, not_ready, report
from pipeline.manifest import Manifest
from pipeline.record import Outcome
from pipeline.stages.interface import Context
from pipeline.targets.http import HttpClient
from pipeline.targets.kubernetes import canary as canaries
from pipeline.targets.kubernetes import service, waiting
from pipeline.targets.kubernetes.canary import Counted
from pipeline.targets.kubernetes.journal import Revision
from pipeline.targets.kubernetes.objects import Document, of_kind
from pipeline.targets.kubernetes.waiting import NotReady
from pipeline.targets.verify import Expectations

CANARY = "canary"
_PAUSE = 0.05  # seconds, between a canary's requests


async def tried(
    work: Work,
    context: Context,
    revision: Revision,
    manifest: Manifest,
    inside: list[Document],
    beside: Document,
) -> None:
    """Let a canary take its share of the requests for a while. Raises Denied."""
    began = time.monotonic()
    needed = [d for d in inside if d["kind"] in ("ConfigMap", "ServiceAccount")]
    deployment = await applied(work, context, [*needed, beside])
    work.served = revision.event
    name = of_kind(inside, "Service")[0]["metadata"]["name"]
    new = {pod["metadata"]["name"] for pod in await waiting.pods(work.cluster, deployment)}
    old = await work.cluster.find(deployment_of(inside))
    former = [] if old is None else await waiting.pods(work.cluster, old)
    both = new | {pod["metadata"]["name"] for pod in former}
    namespace = work.records.namespace
    try:
        found = await service.routed_to(work.cluster, namespace, name, both)
    except NotReady as failure:
        raise Denied("the Service does not lead to both versions", not_ready(failure)) from None
    context = work.open_stage(CANARY)
    async with service.asking(work.cluster, namespace, found, work.settings.key) as asked:
        sides = [
            [client for backend, client in asked if (backend.pod in new) is side]
            for side in (True, False)
        ]
        context.progress.step(f"watching {len(new)} of {len(both)} pods")
        first, last = await _watched(sides, manifest, work.settings.watched)
    ours, theirs = (after.since(before) for after, before in zip(last, first, strict=True))
    denied = tuple(canaries.judged(ours, theirs, Expectations.of(manifest)))
    said = report(
        f"canary: {ours}; old version: {theirs}",
        began,
        revision,
        Outcome.DENIED if denied else Outcome.PASSED,
        denied,
        CANARY,
    )
    if not work.keep(said):
        raise Denied(said.summary)


async def _watched(
    sides: list[list[HttpClient]], manifest: Manifest, seconds: float
) -> tuple[list[Counted], list[Counted]]:
    """What both sides had counted at first and in the end, with a load on top of what comes.

    Each side is asked as often as the other, one request after the other. Raises Denied.
    """
    instances = [entry.instance for entry in Expectations.of(manifest).golden]
    turns = [service.ServiceClient(side) for side in sides]
    first = [await _counted(side) for side in sides]
    deadline, asked = time.monotonic() + seconds, 0
    # No longer than that in any case; and no shorter, or a short load would be all that is known.
    while time.monotonic() < deadline:
        for turn in turns:
            request = {"instances": [instances[asked % len(instances)]]}
            with contextlib.suppress(OSError):  # it shows in the numbers, or in their absence
                await turn.post("/predict", request)
        asked += 1
        await anyio.sleep(_PAUSE)
    return first, [await _counted(side) for side in sides]


async def _counted(side: list[HttpClient]) -> Counted:
    found = []
    for client in side:
        try:
            found.append((await client.get("/metrics")).body.decode(errors="replace"))
        except OSError as error:
            reason = f"a pod's metrics cannot be read: {error}"
            raise Denied("the canary cannot be judged", not_ready(NotReady(reason))) from None
    return Counted.read(found)
