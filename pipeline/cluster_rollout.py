"""One change of what a cluster serves, forwards or back: it ends verified, or with what was before.

The order is what keeps the running model safe: a trial of every object, the journal, the objects,
the wait, the questions through the Service; only then the journal says that the new one serves, and
what it no longer has is removed. Whatever goes wrong in between puts the revision before back and
verifies that as well; a first one leaves nothing.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from pipeline import image_reference, rollout
from pipeline import manifest as manifests
from pipeline.catalog.interface import Catalog, Event, Kind
from pipeline.errors import EnvironmentFailed, InvalidInput
from pipeline.manifest import Manifest
from pipeline.record import Outcome, StageReport
from pipeline.stages import deploy, register, verify
from pipeline.stages.interface import Context
from pipeline.targets.http import HttpClient
from pipeline.targets.interface import Served
from pipeline.targets.kubernetes import apply, lease, namespaces, service, waiting
from pipeline.targets.kubernetes import canary as canaries
from pipeline.targets.kubernetes.canary import Counted
from pipeline.targets.kubernetes.cluster import Cluster, Lost, NoSuchKind, Refused
from pipeline.targets.kubernetes.journal import Change, Journal, Records, Revision
from pipeline.targets.kubernetes.objects import Document, Key, keys, of_kind, split
from pipeline.targets.kubernetes.waiting import NotReady
from pipeline.targets.verify import Expectations, identity
from pipeline.verdict import Level, Violation

ROLLBACK = "rollback"
CANARY = "canary"
RESTORING = 300.0  # seconds, for what served before to be ready again
_REMOVING = 150.0  # seconds, for pods to drain and end
_PATIENT = 30.0
_PAUSE = 0.05  # seconds, between a canary's requests
_GOING_BACK = 600.0  # seconds, for all of a return; a second Ctrl-C ends it sooner


@dataclass(frozen=True, slots=True)
class Settings:
    """How a change is made. `timeout` bounds the wait for ready pods, in seconds.

    `may_lack` names the kinds that are left out where the cluster does not know them. `canary` is
    how many pods run beside the old version first, for `watched` seconds; 0 for none.
    """

    timeout: float = 600.0
    wait: float = 600.0
    force: bool = False
    may_lack: frozenset[str] = frozenset()
    canary: int = 0
    watched: float = 30.0


class Denied(Exception):
    """The new revision is no good. `violations` say why."""

    def __init__(self, summary: str, *violations: Violation) -> None:
        self.summary = summary
        self.violations = violations
        super().__init__(summary)


@dataclass
class ClusterRollout:
    """One change of what a cluster serves.

    `open_stage` announces a stage and gives it its place to work; `keep` takes its report and is
    false when it says no.
    """

    cluster: Cluster
    records: Records
    catalog: Catalog
    open_stage: Callable[[str], Context]
    keep: Callable[[StageReport], bool]
    settings: Settings = field(default_factory=Settings)
    # The namespace, where this change or the one before it that was cut short made it.
    _made: list[Key] = field(default_factory=list, init=False)
    # The new revision's entry once its pods were ready: requests may have reached it.
    _served: Event | None = field(default=None, init=False)
    # Why what served before could not be put back.
    _stuck: str = field(default="", init=False)

    async def run(
        self, revision: Revision, manifest: Manifest, release: str | None, by: str
    ) -> Served | None:
        """Bring `revision` into service, or leave what serves as it is; one such change at a time.

        `release` is the digest that its servers must call themselves; None where that is not known
        beforehand. Returns what serves now, or None when a stage said no; its report was kept.
        """
        began = time.monotonic()
        context = self.open_stage(deploy.NAME)
        self.cluster.told = context.progress.step
        spaces, _ = split(revision.documents)
        namespace, name = self.records.namespace, self.records.name
        served = None
        try:
            self._made, said = await namespaces.there(
                self.cluster, spaces, namespace, force=self.settings.force
            )
            if said:
                summary = f"there is no namespace {namespace} to deploy to"
                self.keep(_report(summary, began, revision, Outcome.DENIED, tuple(said)))
                return None
            async with lease.held(
                self.cluster, namespace, name, by,
                wait=self.settings.wait, on_wait=context.progress.step,
            ):  # fmt: skip
                served = await self._take_over(context, revision, manifest, release, by)
        finally:
            if served is None and self._made:
                with anyio.move_on_after(_PATIENT, shield=True), contextlib.suppress(Refused):
                    await self._unmake()
        return served

    async def _unmake(self) -> None:
        """Remove the namespace that was made for nothing."""
        if (await self.records.read()).change is None:
            await namespaces.removed(self.cluster, self._made)

    async def _take_over(
        self,
        context: Context,
        revision: Revision,
        manifest: Manifest,
        release: str | None,
        by: str,
    ) -> Served | None:
        began = time.monotonic()
        journal = await self._repaired(context)
        documents, said = await apply.known(
            self.cluster, revision.documents, self.settings.may_lack
        )
        _, inside = split(documents)
        trying = [] if journal.serving is None else self._canary(inside)
        context.progress.step(f"asking {self.cluster.context} whether it takes the objects")
        said += await apply.trial(
            self.cluster, [*inside, *trying], self.records.name, journal.keys, self.settings.force
        )
        warnings = tuple(v for v in said if v.level is Level.WARN)
        if denied := tuple(v for v in said if v.level is Level.DENY):
            self.keep(
                _report(
                    f"{self.cluster.context} does not take {len(denied)} of what is to be applied",
                    began,
                    revision,
                    Outcome.DENIED,
                    (*denied, *warnings),
                )
            )
            return None
        planned = Change(
            run=revision.event.run,
            by=by,
            version=revision.event.version,
            revision=revision.id,
            since=datetime.now(UTC),
            doing="applying objects",
            inventory=tuple(key.written for key in keys([*inside, *trying])),
            made_namespace=bool(self._made),
        )
        try:
            await self.records.keep(revision)
            await self.records.write(journal.model_copy(update={"change": planned}))
            try:
                for canary in trying:
                    await self._tried(context, revision, manifest, inside, canary)
                deployment = await self._applied(context, inside)
                for key in keys(trying):
                    await self.cluster.delete(await self.cluster.path(key))
                self._served = revision.event
                self.keep(self._ready(deployment, began, revision, warnings))
                answers, outputs = await self._verified(
                    revision, manifest, release, inside, deployment
                )
            except Denied as no:
                if no.violations:
                    stage = deploy.NAME if self._served is None else verify.NAME
                    self.keep(
                        _report(no.summary, began, revision, Outcome.DENIED, no.violations, stage)
                    )
                await self._back(journal, planned)
                return None
            with anyio.CancelScope(shield=True):
                event = await self._settled(journal, revision, inside, answers)
        except Lost as error:
            raise Lost(
                f"{error.message} The change to {revision.event.version} is not finished.",
                f"{error.remedy} Then `mlifecycle status --target kubernetes` says what serves, "
                "and the next deploy or rollback first puts back what served before.",
            ) from error
        except BaseException:
            # Interrupted, or a failure that nobody foresaw.
            with anyio.move_on_after(_GOING_BACK, shield=True):
                await self._back(journal, planned)
            raise
        self.keep(await register.run(self.open_stage(register.NAME), self.catalog, event))
        return Served(
            release=answers,
            version=event.version,
            url=outputs["url"],
            pid=0,
            since=event.at,
            healthy=True,
            record=event.model_dump(mode="json"),
        )

    async def _repaired(self, context: Context) -> Journal:
        """The journal, after what a command that was cut short left has been put right."""
        journal = await self.records.read()
        left = journal.change
        if left is None:
            return journal
        context.progress.step(f"run {left.run} was cut short: putting back what served before")
        await self._back(journal, left)
        if self._stuck:
            raise EnvironmentFailed(
                f"What run {left.run} left cannot be put right: {self._stuck}.",
                "See `mlifecycle status --target kubernetes`, and mend it with kubectl.",
            )
        return await self.records.read()

    def _canary(self, inside: list[Document]) -> list[Document]:
        if not self.settings.canary:
            return []
        return [
            canaries.beside(deployment, self.settings.canary)
            for deployment in of_kind(inside, "Deployment")
        ]

    async def _tried(
        self,
        context: Context,
        revision: Revision,
        manifest: Manifest,
        inside: list[Document],
        canary: Document,
    ) -> None:
        """Let a canary take its share of the requests for a while. Raises Denied."""
        began = time.monotonic()
        needed = [d for d in inside if d["kind"] in ("ConfigMap", "ServiceAccount")]
        deployment = await self._applied(context, [*needed, canary])
        self._served = revision.event
        name = of_kind(inside, "Service")[0]["metadata"]["name"]
        new = {pod["metadata"]["name"] for pod in await waiting.pods(self.cluster, deployment)}
        old = await self.cluster.find(_deployment(inside))
        former = [] if old is None else await waiting.pods(self.cluster, old)
        both = new | {pod["metadata"]["name"] for pod in former}
        namespace = self.records.namespace
        try:
            found = await service.routed_to(self.cluster, namespace, name, both)
        except NotReady as failure:
            raise Denied(
                "the Service does not lead to both versions", _not_ready(failure)
            ) from None
        context = self.open_stage(CANARY)
        async with service.asking(self.cluster, namespace, found) as asked:
            sides = [
                [client for backend, client in asked if (backend.pod in new) is ours]
                for ours in (True, False)
            ]
            context.progress.step(f"watching {len(new)} of {len(both)} pods")
            first, last = await _watched(sides, manifest, self.settings.watched)
        tried, kept = (after.since(before) for after, before in zip(last, first, strict=True))
        denied = tuple(canaries.judged(tried, kept, Expectations.of(manifest)))
        report = _report(
            f"canary: {tried}; old version: {kept}",
            began,
            revision,
            Outcome.DENIED if denied else Outcome.PASSED,
            denied,
            CANARY,
        )
        if not self.keep(report):
            raise Denied(report.summary)

    async def _applied(self, context: Context, inside: list[Document]) -> Document:
        """The Deployment with every pod new and ready. Raises Denied."""
        context.progress.step(f"applying {len(inside)} objects to {self.cluster.context}")
        for document in inside:
            try:
                await self.cluster.apply(document, force=self.settings.force)
            except Refused as refused:
                raise Denied(
                    "an object was refused when it was written",
                    *apply.refusals(Key.of(document), refused),
                ) from None
        try:
            return await waiting.rolled_out(
                self.cluster, _deployment(inside), self.settings.timeout, _once(context)
            )
        except NotReady as failure:
            raise Denied("the new pods do not get ready", _not_ready(failure)) from None

    async def _verified(
        self,
        revision: Revision,
        manifest: Manifest,
        release: str | None,
        inside: list[Document],
        deployment: Document,
    ) -> tuple[str, dict[str, str]]:
        """The release that answers, and how to ask it. Raises Denied."""
        context = self.open_stage(verify.NAME)
        namespace = self.records.namespace
        name = of_kind(inside, "Service")[0]["metadata"]["name"]
        pods = {pod["metadata"]["name"] for pod in await waiting.pods(self.cluster, deployment)}
        try:
            found = await service.routed_to(self.cluster, namespace, name, pods)
        except NotReady as failure:
            raise Denied("the Service does not lead to the new pods", _not_ready(failure)) from None
        async with service.asking(self.cluster, namespace, found) as asked:
            answers = release or await self._told(asked[0][1], revision.event)
            for backend, client in asked:
                context.progress.step(f"asking {backend.pod} which release it is")
                if strangers := await identity(client, answers):
                    raise Denied(f"pod {backend.pod} is not the release", *strangers)
            clients = service.ServiceClient([client for _, client in asked])
            where = f"through Service {name}, {len(found)} pods"
            report = await verify.run(context, clients, manifest, answers, where)
            outputs = await _example(clients, manifest, namespace, name)
        report = report.model_copy(
            update={"outputs": outputs if report.outcome is Outcome.PASSED else {}}
        )
        if not self.keep(report):
            raise Denied(report.summary)
        return answers, outputs

    async def _back(self, journal: Journal, change: Change) -> None:
        """Put back what `journal` says that should serve, and verify it; say how that went."""
        context = self.open_stage(ROLLBACK)
        began = time.monotonic()
        planned = [Key.read(text) for text in change.inventory]
        await self.records.write(
            journal.model_copy(
                update={"change": change.model_copy(update={"doing": "putting back what served"})}
            )
        )
        try:
            if journal.serving is None:
                context.progress.step("removing it: nothing served before")
                await self._withdrawn(planned, change)
                summary, former = "nothing serves, as before, and nothing was left", None
            else:
                former = await self._restored(context, journal, journal.serving, planned)
                summary = f"{former.version} serves again, verified through its Service"
        except Lost:
            raise
        except (NotReady, Refused, NoSuchKind, InvalidInput, EnvironmentFailed) as failure:
            self._stuck = f"what served before does not come back: {failure}"
            outcome, summary, former = Outcome.FAILED, self._stuck, None
        else:
            outcome = Outcome.PASSED
            await self._tell(former)
        self.keep(
            StageReport(
                stage=ROLLBACK,
                outcome=outcome,
                summary=summary,
                outputs={} if former is None else {"release": former.release},
                seconds=time.monotonic() - began,
            )
        )

    async def _tell(self, former: Event | None) -> None:
        """Tell the catalog of a revision that did serve for a while, and of what serves again."""
        failed, self._served = self._served, None
        if failed is None:
            return
        await anyio.to_thread.run_sync(self.catalog.register, failed)
        kind = Kind.STOP if former is None else Kind.ROLLBACK
        told = (former or failed).model_copy(
            update={"kind": kind, "run": failed.run, "at": datetime.now(UTC)}
        )
        await anyio.to_thread.run_sync(self.catalog.register, told)

    async def _restored(
        self, context: Context, journal: Journal, serving: str, planned: list[Key]
    ) -> Event:
        former = await self.records.revision(serving)
        context.progress.step(f"returning to {former.event.version}")
        documents, _ = await apply.known(self.cluster, former.documents, self.settings.may_lack)
        _, inside = split(documents)
        await apply.apply(self.cluster, inside, force=True)
        deployment = await waiting.rolled_out(
            self.cluster, _deployment(inside), RESTORING, _once(context)
        )
        there = set(keys(inside))
        await apply.remove(
            self.cluster, [key for key in planned if key not in there], self.records.name
        )
        trouble = await self._restored_answers(context, former, inside, deployment)
        if trouble:
            raise NotReady(trouble)
        await self.records.write(journal.model_copy(update={"change": None}))
        await self.records.prune(journal)
        return former.event

    async def _restored_answers(
        self, context: Context, former: Revision, inside: list[Document], deployment: Document
    ) -> str:
        """What is wrong with the answers of what was put back; empty when nothing is."""
        name = of_kind(inside, "Service")[0]["metadata"]["name"]
        pods = {pod["metadata"]["name"] for pod in await waiting.pods(self.cluster, deployment)}
        found = await service.routed_to(self.cluster, self.records.namespace, name, pods)
        manifest = manifest_of(former)
        async with service.asking(self.cluster, self.records.namespace, found) as asked:
            clients = service.ServiceClient([client for _, client in asked])
            report = await verify.run(context, clients, manifest, former.event.release, "put back")
        return "; ".join(f"{v.title}: {v.actual}" for v in report.violations)

    async def _withdrawn(self, planned: list[Key], change: Change) -> None:
        left = await apply.remove(self.cluster, planned, self.records.name, wait=_REMOVING)
        if left:
            raise NotReady(f"{', '.join(map(str, left))} cannot be removed")
        await self.records.clear()
        if change.made_namespace:
            self._made = [Key("v1", "Namespace", "", self.records.namespace)]

    async def _told(self, client: HttpClient, event: Event) -> str:
        """The release that a server says it is, if it is the entry's model. Raises Denied."""
        release = await _release_of(client, event)
        told = event.model_copy(update={"release": release})
        if taken := await rollout.taken(self.catalog, told):
            raise Denied(taken.summary, *taken.violations)
        return release

    async def _settled(
        self, journal: Journal, revision: Revision, inside: list[Document], answers: str
    ) -> Event:
        """Put on record that it serves, and remove what it has no more."""
        at = datetime.now(UTC)
        event = revision.event.model_copy(update={"at": at, "release": answers})
        await self.records.keep(replace(revision, event=event))
        after = journal.settled(revision.id, inside, at)
        # The old inventory stays on record until what it has too much is gone.
        both = tuple(dict.fromkeys((*after.inventory, *journal.inventory)))
        await self.records.write(after.model_copy(update={"inventory": both}))
        there = set(after.keys)
        await apply.remove(
            self.cluster, [key for key in journal.keys if key not in there], self.records.name
        )
        await self.records.write(after)
        await self.records.prune(after)
        return event

    def _ready(
        self,
        deployment: Document,
        began: float,
        revision: Revision,
        warnings: tuple[Violation, ...],
    ) -> StageReport:
        state = waiting.Rolled.of(deployment)
        summary = f"{revision.event.version} runs in {self.cluster.context}: {state}"
        return _report(summary, began, revision, Outcome.PASSED, warnings)


def manifest_of(revision: Revision) -> Manifest:
    """The manifest that a revision is verified by."""
    with tempfile.TemporaryDirectory(prefix="mlifecycle-revision-") as room:
        path = Path(room) / "model-manifest.yaml"
        path.write_bytes(revision.manifest)
        return manifests.load(path)


def _deployment(inside: list[Document]) -> Key:
    found = of_kind(inside, "Deployment")
    if len(found) != 1:
        raise EnvironmentFailed(f"The rendered objects hold {len(found)} Deployments, not one.")
    return Key.of(found[0])


def _once(context: Context) -> Callable[[str], None]:
    """Tells a message that was not the last one."""
    last = [""]

    def tell(message: str) -> None:
        if message != last[0]:
            last[0] = message
            context.progress.step(message)

    return tell


def _not_ready(failure: NotReady) -> Violation:
    return Violation(
        id="DP-RDY-001",
        title="The new version does not get ready",
        path="Deployment",
        actual=f"{failure.reason}\n{failure.log}".strip(),
        expected="every pod ready",
        remedy="Mend what is said above and deploy again.",
    )


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
            raise Denied("the canary cannot be judged", _not_ready(NotReady(reason))) from None
    return Counted.read(found)


async def _release_of(client: HttpClient, event: Event) -> str:
    """The release that a server says it is, if it is the entry's model. Raises Denied."""
    expected = {"version": event.version, "digest": event.digests["model"]}
    try:
        said = (await client.get("/model/info")).json()
        found: Any = {name: said[name] for name in expected}
        release = str(said["release"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        found, release = f"no answer: {error!r}", ""
    if found != expected:
        raise Denied(
            "another model answers",
            Violation(
                id="VF-IDN-002",
                title="The image holds another model",
                path="/model/info",
                actual=found,
                expected=f"version {event.version} with model {event.digests['model']}",
                remedy="Name the image that was built from this manifest.",
            ),
        )
    return release


async def _example(
    client: service.ServiceClient, manifest: Manifest, namespace: str, name: str
) -> dict[str, str]:
    request = {"instances": [Expectations.of(manifest).golden[0].instance]}
    try:
        answer = (await client.post("/predict", request)).body.decode(errors="replace")
    except OSError as error:
        answer = f"no answer: {error}"
    data = shlex.quote(json.dumps(request))
    return {
        "url": f"http://{name}.{namespace}.svc",
        "try": f"kubectl -n {namespace} port-forward service/{name} 8080:80, then curl -s "
        f"http://127.0.0.1:8080/predict -H 'Content-Type: application/json' -d {data}",
        "answer": answer,
    }


def _report(
    summary: str,
    began: float,
    revision: Revision,
    outcome: Outcome,
    violations: tuple[Violation, ...],
    stage: str = deploy.NAME,
) -> StageReport:
    image = image_reference.parse(revision.image)
    return StageReport(
        stage=stage,
        outcome=outcome,
        summary=summary,
        inputs={"image": image.digest if image else revision.image},
        outputs={"revision": revision.id},
        violations=violations,
        seconds=time.monotonic() - began,
    )
