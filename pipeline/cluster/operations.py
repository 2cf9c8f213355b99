"""What can be done with deployments in a cluster: look, go back, read logs, stop.

What a cluster holds is asked of the cluster, from whatever machine: nothing of it lies here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import anyio.to_thread

from pipeline import manifest as manifests
from pipeline import runs
from pipeline.catalog.interface import Event, Kind
from pipeline.catalog.registry import MlflowCatalog
from pipeline.cluster.rollout import ClusterRollout
from pipeline.cluster.work import REMOVING, Settings, require_key
from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.line import Line
from pipeline.places.cluster import ClusterPlace, GivenImage, may_lack
from pipeline.places.host import HostPlace
from pipeline.policy.bundle import Bundle
from pipeline.progress import Observer
from pipeline.record import Outcome
from pipeline.release import Result
from pipeline.reports import files
from pipeline.resources import folder
from pipeline.state import State, write_atomically
from pipeline.targets.kubernetes import apply, lease, reasons, waiting
from pipeline.targets.kubernetes.cluster import Cluster, Refused
from pipeline.targets.kubernetes.journal import ROLE, Journal, Records, Revision, journal_of
from pipeline.targets.kubernetes.objects import NAME_LABEL, Key, of_kind
from pipeline.targets.kubernetes.waiting import Rolled


@dataclass(frozen=True, slots=True)
class Deployed:
    """One model in one namespace of a cluster."""

    records: Records
    journal: Journal

    def __str__(self) -> str:
        return f"{self.records.namespace}/{self.records.name}"


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """What a deployment is doing now.

    `event` is the catalog's entry of what should serve, None while nothing should. `unfinished`
    tells of a change that is under way, by whom `busy` says, or that was cut short.
    """

    context: str
    namespace: str
    name: str
    event: Event | None
    image: str = ""
    pods: str = ""
    trouble: str = ""
    unfinished: str = ""
    busy: str = ""

    @property
    def state(self) -> str:
        """One word for it."""
        if self.unfinished:
            return "changing" if self.busy else "unfinished"
        if self.event is None:
            return "stopped"
        return "unhealthy" if self.trouble else "healthy"

    @property
    def good(self) -> bool:
        """Whether it is as it should be, or on its way there."""
        return self.state in ("healthy", "stopped", "changing")


async def deployments(cluster: Cluster, namespace: str | None) -> list[Deployed]:
    """Every deployment in a namespace, or in all. Raises EnvironmentFailed."""
    inside = f"/namespaces/{namespace}" if namespace else ""
    try:
        found = await cluster.listed(f"/api/v1{inside}/configmaps", f"{ROLE}=journal")
    except Refused as refused:
        raise EnvironmentFailed(
            f"{cluster.context} does not say what is deployed: {refused.message}.",
            "Name a namespace that this account may read, with --namespace.",
        ) from None
    return [
        Deployed(
            Records(cluster, each["metadata"]["namespace"], each["metadata"]["labels"][NAME_LABEL]),
            journal_of(each),
        )
        for each in found
    ]


async def find(cluster: Cluster, namespace: str | None, name: str) -> Deployed:
    """The deployment called `name` or `namespace/name`. Raises InvalidInput unless it is one."""
    known = await deployments(cluster, namespace)
    found = [each for each in known if name in (each.records.name, str(each))]
    if len(found) == 1:
        return found[0]
    names = ", ".join(map(str, found or known)) or "none yet"
    expected = f"one deployment in {cluster.context} ({names})"
    remedy = "Name one of them, or another --context or --namespace."
    raise InvalidInput([Problem("NAME", "", name, expected, remedy)])


async def status(cluster: Cluster, namespace: str | None, name: str | None) -> list[ClusterStatus]:
    """What serves, as the cluster has it; nothing is changed."""
    known = (
        [await find(cluster, namespace, name)] if name else await deployments(cluster, namespace)
    )
    return [await _status(cluster, each) for each in known]


async def _status(cluster: Cluster, deployed: Deployed) -> ClusterStatus:
    records, journal = deployed.records, deployed.journal
    where = (cluster.context, records.namespace, records.name)
    change, busy, unfinished = journal.change, await _holder(records), ""
    if change is not None:
        unfinished = f"{change.doing} for {change.version}, run {change.run}"
        if not busy:
            unfinished += ": cut short; the next deploy or rollback puts back what served before"
    if journal.serving is None:
        return ClusterStatus(*where, None, unfinished=unfinished, busy=busy)
    try:
        revision = await records.revision(journal.serving)
    except EnvironmentFailed as error:
        return ClusterStatus(*where, None, trouble=str(error), unfinished=unfinished, busy=busy)
    pods, trouble = await _pods(cluster, revision)
    image = revision.image
    return ClusterStatus(*where, revision.event, image, pods, trouble, unfinished, busy)


async def _pods(cluster: Cluster, revision: Revision) -> tuple[str, str]:
    """How many pods are ready, and what is wrong with them."""
    (wanted,) = of_kind(revision.documents, "Deployment")
    found = await cluster.find(Key.of(wanted))
    if found is None:
        return "none", f"{Key.of(wanted)} was deleted by somebody"
    rolled = Rolled.of(found)
    pods = f"{rolled.available} of {rolled.wanted} ready"
    image = found["spec"]["template"]["spec"]["containers"][0]["image"]
    if image != revision.image:
        return pods, f"{image} runs, which no deploy has put there"
    if rolled.available >= rolled.wanted and rolled.seen:
        return pods, ""
    said = [*reasons.of_pods(await waiting.pods(cluster, found))]
    whole = reasons.of_deployment(found)
    all_of_it = [*([whole] if whole else []), *said]
    return pods, "; ".join(map(str, all_of_it)) or "not every pod is ready"


async def _holder(records: Records) -> str:
    found = await records.cluster.find(lease.key(records.namespace, records.name))
    if found is None or lease.ran_out(found):
        return ""
    return str(found["spec"].get("holderIdentity", ""))


async def history(cluster: Cluster, namespace: str | None, state: State, name: str) -> list[Event]:
    """Every change of what served in this cluster, newest first, as the catalog has it."""
    deployed = await find(cluster, namespace, name)
    events = await anyio.to_thread.run_sync(
        MlflowCatalog(state).history, deployed.records.name, deployed.records.namespace
    )
    return [event for event in events if event.context == cluster.context]


async def logs(cluster: Cluster, namespace: str | None, name: str, lines: int) -> list[str]:
    """The last lines that each pod wrote, with its name before them."""
    deployed = await find(cluster, namespace, name)
    pods = f"/api/v1/namespaces/{deployed.records.namespace}/pods"
    found: list[str] = []
    for pod in await cluster.listed(pods, f"{NAME_LABEL}={deployed.records.name}"):
        own = pod["metadata"]["name"]
        try:
            text = await cluster.text(f"{pods}/{own}/log", tailLines=str(lines))
        except Refused as refused:
            text = refused.message
        found += [f"{own}  {line}" for line in text.splitlines()]
    return found


async def stop(cluster: Cluster, namespace: str | None, state: State, name: str) -> bool:
    """Remove all of a deployment, and say so to the catalog. False when nothing served."""
    deployed = await find(cluster, namespace, name)
    records = deployed.records
    run = datetime.now(UTC).strftime("stop-%Y%m%dT%H%M%S%fZ")
    async with lease.held(
        cluster, records.namespace, records.name, lease.holder(run), wait=600.0, on_wait=_silent
    ):
        journal = await records.read()
        planned = [Key.read(text) for text in (journal.change.inventory if journal.change else ())]
        event = (await records.revision(journal.serving)).event if journal.serving else None
        left = await apply.remove(
            cluster, dict.fromkeys([*journal.keys, *planned]), records.name, wait=REMOVING
        )
        if left:
            raise EnvironmentFailed(
                f"{', '.join(map(str, left))} cannot be removed.", "See why with kubectl."
            )
        await records.clear()
    if event is None:
        return False
    told = event.model_copy(update={"kind": Kind.STOP, "at": datetime.now(UTC)})
    await anyio.to_thread.run_sync(MlflowCatalog(state).register, told)
    return True


def _silent(message: str) -> None: ...


async def rollback(
    cluster: Cluster,
    namespace: str | None,
    state: State,
    name: str,
    version: str | None,
    settings: Settings,
    observer: Observer,
) -> Result:
    """Bring back the revision that served before, or the newest of `version`.

    It is applied, waited for and verified like any other; one that fails leaves what serves.
    """
    deployed = await find(cluster, namespace, name)
    records = deployed.records
    former = await _former(deployed, version)
    path = state.root / "revisions" / former.id / "model-manifest.yaml"
    write_atomically(path, former.manifest)
    manifest = manifests.load(path)
    require_key(manifest, settings.key)
    environment = former.event.environment
    place = ClusterPlace(HostPlace(), cluster, GivenImage(former.image))
    catalog = MlflowCatalog(state)
    run = runs.start(
        state,
        command="rollback",
        manifest=path,
        environment=environment,
        runtime=place.name,
        versions=place.versions(),
        manifest_digest=manifest.digest,
        model=str(deployed),
        version=former.event.version,
    )
    run.note(release=former.event.release)
    bundle = Bundle.load(folder("policies"), None, "extend")
    line = Line(environment, manifest, bundle, state, place, catalog, run, observer, settings.wait)
    event = former.event.model_copy(
        update={
            "kind": Kind.ROLLBACK,
            "at": datetime.now(UTC),
            "run": run.record.id,
            "context": cluster.context,
        }
    )
    settings = replace(settings, may_lack=may_lack(line))
    outcome, error = Outcome.FAILED, None
    try:
        change = ClusterRollout(cluster, records, catalog, line.open, line.keep, settings)
        served = await change.run(
            replace(former, event=event), manifest, event.release, lease.holder(run.record.id)
        )
        outcome = Outcome.PASSED if served else Outcome.DENIED
    except BaseException as failure:
        error = str(failure) or type(failure).__name__
        raise
    finally:
        run.finish(outcome, error)
        files.write(run.record, run.folder)
    return Result(run.record, run.folder, manifest, None, served)


async def _former(deployed: Deployed, version: str | None) -> Revision:
    """The revision to return to."""
    journal, records = deployed.journal, deployed.records
    if version is None:
        if (before := journal.before()) is not None:
            return await records.revision(before)
        known: list[str] = []
    else:
        known = []
        for each in journal.revisions:
            revision = await records.revision(each)
            if revision.event.version == version and each != journal.serving:
                return revision
            known.append(revision.event.version)
    raise InvalidInput(
        [
            Problem(
                "NAME" if version is None else "--to",
                "",
                version or records.name,
                "another version than the one that serves, out of those that the cluster has on "
                f"record ({', '.join(known) or 'none'})",
                "There is nothing else to go back to; see `mlifecycle history`.",
            )
        ]
    )
