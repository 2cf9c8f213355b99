"""One change of what a cluster serves, forwards or back: it ends verified, or with what was before.

The order is what keeps the running model safe: a trial of every object, the journal, the objects,
the wait, the questions through the Service; only then the journal says that the new one serves, and
what it no longer has is removed. Whatever goes wrong in between puts the revision before back and
verifies that as well; a first one leaves nothing.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import anyio
import anyio.to_thread

from pipeline.catalog.interface import Event
from pipeline.cluster import answers, canary, returning
from pipeline.cluster.work import Denied, Work, applied, report, require_key
from pipeline.errors import EnvironmentFailed
from pipeline.manifest import Manifest
from pipeline.record import Outcome, StageReport
from pipeline.stages import deploy, register, verify
from pipeline.stages.interface import Context
from pipeline.targets.interface import Served
from pipeline.targets.kubernetes import apply, lease, namespaces, waiting
from pipeline.targets.kubernetes import canary as canaries
from pipeline.targets.kubernetes.cluster import Lost, Refused
from pipeline.targets.kubernetes.journal import Change, Journal, Revision
from pipeline.targets.kubernetes.objects import Document, keys, of_kind, split
from pipeline.verdict import Level, Violation

_PATIENT = 30.0
_GOING_BACK = 600.0  # seconds, for all of a return; a second Ctrl-C ends it sooner


@dataclass
class ClusterRollout(Work):
    """One change of what a cluster serves."""

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
            self.made, said = await namespaces.there(
                self.cluster, spaces, namespace, force=self.settings.force
            )
            if said:
                summary = f"there is no namespace {namespace} to deploy to"
                self.keep(report(summary, began, revision, Outcome.DENIED, tuple(said)))
                return None
            async with lease.held(
                self.cluster, namespace, name, by,
                wait=self.settings.wait, on_wait=context.progress.step,
            ):  # fmt: skip
                served = await self._take_over(context, revision, manifest, release, by)
        finally:
            if served is None and self.made:
                with anyio.move_on_after(_PATIENT, shield=True), contextlib.suppress(Refused):
                    await self._unmake()
        return served

    async def _unmake(self) -> None:
        """Remove the namespace that was made for nothing."""
        if (await self.records.read()).change is None:
            await namespaces.removed(self.cluster, self.made)

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
        await self._require_key_for(journal)
        documents, said = await apply.known(
            self.cluster, revision.documents, self.settings.may_lack
        )
        _, inside = split(documents)
        trying = [] if journal.serving is None else self._canary(inside)
        context.progress.step(f"asking {self.cluster.context} whether it takes the objects")
        said += await apply.trial(
            self.cluster,
            [*inside, *trying],
            self.records.name,
            journal.keys,
            self.settings.force,
        )
        warnings = tuple(v for v in said if v.level is Level.WARN)
        if denied := tuple(v for v in said if v.level is Level.DENY):
            self.keep(
                report(
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
            made_namespace=bool(self.made),
        )
        try:
            await self.records.keep(revision)
            await self.records.write(journal.model_copy(update={"change": planned}))
            try:
                for beside in trying:
                    await canary.tried(self, context, revision, manifest, inside, beside)
                deployment = await applied(self, context, inside)
                for key in keys(trying):
                    await self.cluster.delete(await self.cluster.path(key))
                self.served = revision.event
                self.keep(self._ready(deployment, began, revision, warnings))
                answering, outputs = await answers.verified(
                    self, revision, manifest, release, inside, deployment
                )
            except Denied as no:
                if no.violations:
                    stage = deploy.NAME if self.served is None else verify.NAME
                    self.keep(
                        report(no.summary, began, revision, Outcome.DENIED, no.violations, stage)
                    )
                await returning.back(self, journal, planned)
                return None
            with anyio.CancelScope(shield=True):
                event = await self._settled(journal, revision, inside, answering)
        except Lost as error:
            raise Lost(
                f"{error.message} The change to {revision.event.version} is not finished.",
                f"{error.remedy} Then `mlifecycle status --target kubernetes` says what serves, "
                "and the next deploy or rollback first puts back what served before.",
            ) from error
        except BaseException:
            # Interrupted, or a failure that nobody foresaw.
            with anyio.move_on_after(_GOING_BACK, shield=True):
                await returning.back(self, journal, planned)
            raise
        self.keep(await register.run(self.open_stage(register.NAME), self.catalog, event))
        return Served(
            release=answering,
            version=event.version,
            url=outputs["url"],
            pid=0,
            since=event.at,
            healthy=True,
            record=event.model_dump(mode="json"),
        )

    async def _require_key_for(self, journal: Journal) -> None:
        """What serves now may have to be put back, and asked. Raises InvalidInput."""
        if journal.serving is None:
            return
        with contextlib.suppress(EnvironmentFailed):  # there is nothing left to put back
            former = await self.records.revision(journal.serving)
            require_key(answers.manifest_of(former), self.settings.key)

    async def _repaired(self, context: Context) -> Journal:
        """The journal, after what a command that was cut short left has been put right."""
        journal = await self.records.read()
        left = journal.change
        if left is None:
            return journal
        context.progress.step(f"run {left.run} was cut short: putting back what served before")
        await returning.back(self, journal, left)
        if self.stuck:
            raise EnvironmentFailed(
                f"What run {left.run} left cannot be put right: {self.stuck}.",
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

    async def _settled(
        self, journal: Journal, revision: Revision, inside: list[Document], release: str
    ) -> Event:
        """Put on record that it serves, and remove what it has no more."""
        at = datetime.now(UTC)
        event = revision.event.model_copy(update={"at": at, "release": release})
        await self.records.keep(replace(revision, event=event))
        after = journal.settled(revision.id, inside, at)
        # The old inventory stays on record until what it has too much is gone.
        both = tuple(dict.fromkeys((*after.inventory, *journal.inventory)))
        await self.records.write(after.model_copy(update={"inventory": both}))
        there = set(after.keys)
        await apply.remove(
            self.cluster,
            [key for key in journal.keys if key not in there],
            self.records.name,
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
        return report(summary, began, revision, Outcome.PASSED, warnings)
