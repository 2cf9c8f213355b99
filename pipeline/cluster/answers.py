"""Whether what a cluster runs answers as it should, asked through its Service."""

from __future__ import annotations

import json
import shlex
import tempfile
from pathlib import Path
from typing import Any

from pipeline import manifest as manifests
from pipeline import rollout
from pipeline.catalog.interface import Event
from pipeline.cluster.work import KEY_VARIABLE, Denied, Work, not_ready
from pipeline.manifest import Manifest
from pipeline.record import Outcome
from pipeline.stages import verify
from pipeline.stages.interface import Context
from pipeline.targets.http import HttpClient
from pipeline.targets.kubernetes import service, waiting
from pipeline.targets.kubernetes.journal import Revision
from pipeline.targets.kubernetes.objects import Document, of_kind
from pipeline.targets.kubernetes.waiting import NotReady
from pipeline.targets.verify import Expectations, identity
from pipeline.verdict import Violation


async def verified(
    work: Work,
    revision: Revision,
    manifest: Manifest,
    release: str | None,
    inside: list[Document],
    deployment: Document,
) -> tuple[str, dict[str, str]]:
    """The release that answers, and how to ask it. Raises Denied."""
    context = work.open_stage(verify.NAME)
    namespace = work.records.namespace
    name = of_kind(inside, "Service")[0]["metadata"]["name"]
    pods = {pod["metadata"]["name"] for pod in await waiting.pods(work.cluster, deployment)}
    try:
        found = await service.routed_to(work.cluster, namespace, name, pods)
    except NotReady as failure:
        raise Denied("the Service does not lead to the new pods", not_ready(failure)) from None
    async with service.asking(work.cluster, namespace, found, work.settings.key) as asked:
        answers = release or await told(work, asked[0][1], revision.event)
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
    if not work.keep(report):
        raise Denied(report.summary)
    return answers, outputs


async def told(work: Work, client: HttpClient, event: Event) -> str:
    """The release that a server says it is, if it is the entry's model. Raises Denied."""
    release = await _release_of(client, event)
    as_said = event.model_copy(update={"release": release})
    if taken := await rollout.taken(work.catalog, as_said):
        raise Denied(taken.summary, *taken.violations)
    return release


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
    guarded = manifest.model.spec.inference.access is not None
    key = f" -H 'Authorization: Bearer '\"${KEY_VARIABLE}\"" if guarded else ""
    return {
        "url": f"http://{name}.{namespace}.svc",
        "try": f"kubectl -n {namespace} port-forward service/{name} 8080:80, then curl -s "
        f"http://127.0.0.1:8080/predict -H 'Content-Type: application/json'{key} -d {data}",
        "answer": answer,
    }


async def restored_answers(
    work: Work, context: Context, former: Revision, inside: list[Document], deployment: Document
) -> str:
    """What is wrong with the answers of what was put back; empty when nothing is."""
    name = of_kind(inside, "Service")[0]["metadata"]["name"]
    pods = {pod["metadata"]["name"] for pod in await waiting.pods(work.cluster, deployment)}
    found = await service.routed_to(work.cluster, work.records.namespace, name, pods)
    manifest = manifest_of(former)
    key = work.settings.key
    async with service.asking(work.cluster, work.records.namespace, found, key) as asked:
        clients = service.ServiceClient([client for _, client in asked])
        report = await verify.run(context, clients, manifest, former.event.release, "put back")
    return "; ".join(f"{v.title}: {v.actual}" for v in report.violations)


def manifest_of(revision: Revision) -> Manifest:
    """The manifest that a revision is verified by."""
    with tempfile.TemporaryDirectory(prefix="mlifecycle-revision-") as room:
        path = Path(room) / "model-manifest.yaml"
        path.write_bytes(revision.manifest)
        return manifests.load(path)
