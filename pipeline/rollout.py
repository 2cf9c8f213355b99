"""How a release takes over from another, whether it is newer (deploy) or older (rollback).

The order is what keeps the running model safe: start beside it, prove, commit `desired.json`, move
the traffic, prove again where the traffic is, tell the catalog. Whatever dies in between, the next
command finds the deployment's own record and brings the catalog in line with it (`reconcile`).
"""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio.to_thread
from pydantic import ValidationError

from pipeline import digest
from pipeline.catalog.interface import BINDING, Catalog, Event, Kind, bound_release
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed
from pipeline.manifest import Manifest
from pipeline.places.interface import Built
from pipeline.record import Outcome, RunRecord, StageReport
from pipeline.release_folder import Release
from pipeline.stages import deploy, register, verify
from pipeline.stages.interface import Context
from pipeline.targets import desired
from pipeline.targets.http import HttpClient
from pipeline.targets.interface import CandidateFailed, Served, Target
from pipeline.targets.verify import Expectations
from pipeline.verdict import Violation

WITHOUT_TRAFFIC = "without traffic"
IN_SERVICE = "in service"


async def reconcile(folder: Path, catalog: Catalog) -> None:
    """Tell the catalog what the deployment in `folder` last committed, if it was not told."""
    wanted = desired.read(folder)
    if wanted is not None and wanted.record:
        await anyio.to_thread.run_sync(catalog.register, recorded(wanted.record, folder))


def recorded(record: Mapping[str, Any], place: object) -> Event:
    """The event that a deployment has on record. Raises EnvironmentFailed when it is none."""
    try:
        return Event.model_validate(record)
    except ValidationError:
        raise EnvironmentFailed(
            f"The record in {place}/{desired.NAME} is not one that a deploy wrote.",
            "Restore the file, or stop the deployment, remove its folder and deploy again.",
        ) from None


@dataclass(frozen=True, slots=True)
class Rollout:
    """One change of what serves.

    `open_stage` announces a stage and gives it its place to work; `keep` takes its report and is
    false when the run must end.
    """

    open_stage: Callable[[str], Context]
    keep: Callable[[StageReport], bool]
    target: Target
    catalog: Catalog
    releases: Path

    async def take_over(self, release: Release, manifest: Manifest, event: Event) -> Served | None:
        """Bring `release` into service, or leave what serves as it is.

        Returns what serves now, or None when a stage said no; its report was kept.
        """
        before = await self.target.current()
        context = self.open_stage(deploy.NAME)
        if said := await taken(self.catalog, event):
            self.keep(said)
            return None
        start = functools.partial(self.target.start, release)
        report, candidate = await deploy.run(context, start, release, before)
        if not self.keep(report):
            return None
        if candidate is not None:
            async with candidate:
                report = await verify.run(
                    self.open_stage(verify.NAME),
                    candidate.client,
                    manifest,
                    release.digest,
                    WITHOUT_TRAFFIC,
                )
                if not self.keep(report):
                    return None
                # What is on record is when the traffic moved, not when the work began.
                event = event.model_copy(update={"at": datetime.now(UTC)})
                await candidate.promote(event.model_dump(mode="json"))
        served = await self.target.current()
        if served is None:
            raise EnvironmentFailed(
                "Nothing serves although the switch was made.", "See `mlifecycle logs`."
            )
        if not self.keep(await self._in_service(served, release, manifest)):
            if before is None:
                await self._withdraw(event)
            elif before.release != release.digest:
                await self._take_back(before, event)
            return None
        told = event if candidate is not None else recorded(served.record, self.releases.parent)
        self.keep(await register.run(self.open_stage(register.NAME), self.catalog, told))
        return served

    async def _in_service(
        self, served: Served, release: Release, manifest: Manifest
    ) -> StageReport:
        client = HttpClient.url(served.url)
        try:
            report = await verify.run(
                self.open_stage(verify.NAME), client, manifest, release.digest, IN_SERVICE
            )
            if report.outcome is not Outcome.PASSED:
                return report
            request = {"instances": [Expectations.of(manifest).golden[0].instance]}
            answer = (await client.post("/predict", request)).body.decode(errors="replace")
        except OSError as error:
            return _silent(report, served.url, error)
        finally:
            client.close()
        data = shlex.quote(json.dumps(request))
        tried = f"curl -s {served.url}/predict -H 'Content-Type: application/json' -d {data}"
        return report.model_copy(
            update={"outputs": {"url": served.url, "try": tried, "answer": answer}}
        )

    async def _take_back(self, before: Served, failed: Event) -> None:
        """The new release passed alone and fails under traffic: put the old one back."""
        context = self.open_stage("rollback")
        context.progress.step(f"returning to {before.version}")
        # It did serve; the history says so, whatever happens next.
        await anyio.to_thread.run_sync(self.catalog.register, failed)
        release = Release.open(self.releases / before.release.removeprefix("sha256:"))
        event = Event.model_validate(
            {**before.record, "kind": Kind.ROLLBACK, "run": failed.run, "at": datetime.now(UTC)}
        )
        async with await self.target.start(release) as candidate:
            try:
                await candidate.ready(deploy.READY_SECONDS)
            except CandidateFailed as failure:
                raise EnvironmentFailed(
                    f"{before.version} does not come back either: {failure.reason}.",
                    f"{failed.version} serves although its verification failed.",
                ) from None
            await candidate.promote(event.model_dump(mode="json"))
        await anyio.to_thread.run_sync(self.catalog.register, event)
        self.keep(
            StageReport(
                stage="rollback",
                outcome=Outcome.PASSED,
                summary=f"{before.version} serves again",
                outputs={"release": before.release},
            )
        )

    async def _withdraw(self, failed: Event) -> None:
        """A first release fails under traffic and there is none to return to: nothing serves."""
        self.open_stage("rollback").progress.step("stopping it: nothing served before")
        await anyio.to_thread.run_sync(self.catalog.register, failed)
        stop = failed.model_copy(update={"kind": Kind.STOP, "at": datetime.now(UTC)})
        await self.target.stop(stop.model_dump(mode="json"))
        await anyio.to_thread.run_sync(self.catalog.register, stop)
        self.keep(
            StageReport(
                stage="rollback", outcome=Outcome.PASSED, summary="nothing serves, as before"
            )
        )


async def taken(catalog: Catalog, event: Event) -> StageReport | None:
    """The no to a release whose version means another one already; None where it may be used.

    Where it binds, a version that has served once means that release for good.
    """
    if event.environment not in BINDING:
        return None
    history = await anyio.to_thread.run_sync(catalog.history, event.name, event.namespace)
    bound = bound_release(history, event.version)
    if bound in (None, event.release):
        return None
    violation = Violation(
        id="DP-VER-001",
        title="A version that has served means one release",
        path="spec.model.version",
        actual=f"{event.version}, which has served as {bound}",
        expected=f"a version that no release but {event.release} has served under",
        remedy="Raise spec.model.version.",
    )
    return StageReport(
        stage=deploy.NAME,
        outcome=Outcome.DENIED,
        summary=f"{event.version} already means another release",
        inputs={"release": event.release},
        violations=(violation,),
    )


def _silent(report: StageReport, url: str, error: OSError) -> StageReport:
    violation = Violation(
        id="VF-GLD-003",
        title="A golden input gets no prediction",
        path=url,
        actual=f"no answer: {error}",
        expected="HTTP 200 with one prediction",
        remedy="Read the server's log (`mlifecycle logs`).",
    )
    return report.model_copy(update={"outcome": Outcome.DENIED, "violations": (violation,)})


def evidence_of(record: RunRecord) -> bytes:
    """What each stage so far was given, said and made, as JSON: what a verdict rests on."""
    stages = [
        stage.model_dump(mode="json", include={"stage", "outcome", "inputs", "outputs"})
        for stage in record.stages
    ]
    return json.dumps(stages, indent=2, sort_keys=True).encode() + b"\n"


def event_of(
    kind: Kind, manifest: Manifest, release: Built, environment: Environment, record: RunRecord
) -> Event:
    """The catalog's entry for this run: what serves from now on, and on which verdict."""
    claims = manifest.document["spec"].get("metrics", {})
    return Event(
        kind=kind,
        at=datetime.now(UTC),
        name=release.name,
        namespace=release.namespace,
        version=release.version,
        environment=environment,
        release=release.digest,
        metrics={name: float(v) for name, v in claims.items() if isinstance(v, int | float)},
        run=record.id,
        verdict=digest.of_bytes(evidence_of(record)),
        digests={
            "manifest": release.manifest_digest,
            "model": release.model_digest,
            "lock": release.lock_digest,
            "server": release.server_digest,
            "environment": release.environment_digest,
            "settings": release.settings_digest,
            "inventory": release.inventory.digest,
            **release.outputs,
            **_judged(record),
        },
    )


def _judged(record: RunRecord) -> dict[str, str]:
    """The digests of the policies and of what the examinations put out."""
    found: dict[str, str] = {}
    for stage in record.stages:
        if "policies" in stage.inputs:
            found["policies"] = stage.inputs["policies"]
        if stage.stage in ("govern", "scan", "sbom"):
            found |= stage.outputs
    return {name: value for name, value in found.items() if value.startswith("sha256:")}
