"""The render stage: the Kubernetes objects of a release, as one YAML.

`kustomize/` holds what all models share and what each environment adds. What is this model's own
is written as one more kustomization on top of the environment's overlay, and kustomize puts them
together. The same manifest and image give the same bytes. kubeconform says whether every object is
what its strict schema says.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import anyio.to_thread

from pipeline import digest, image_reference, resources
from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.findings import Finding, ToolReport, ToolStatus
from pipeline.image_reference import ImageReference
from pipeline.kubernetes import kustomization
from pipeline.kubernetes.kustomization import OWN, SHARED
from pipeline.kubernetes.platforms import Platform
from pipeline.manifest import Manifest
from pipeline.manifest.paths import shown
from pipeline.record import Outcome, StageReport
from pipeline.runtimes.interface import Invocation, ToolNotFound
from pipeline.runtimes.interface import Outcome as Run
from pipeline.stages.interface import Context
from pipeline.state import write_atomically
from pipeline.tools import kubeconform, kustomize
from pipeline.tools.interface import NoResult
from pipeline.verdict import Violation

NAME = "render"
OBJECTS = "reports/rendered.yaml"


async def run(
    context: Context, manifest: Manifest, image: str, platform: Platform | None = None
) -> tuple[StageReport, bytes]:
    """Render the objects that run `image`, which is given by digest, as `platform` takes them.

    Objects that are not what their schemas say are a no. Raises InvalidInput for an image without
    digest and for a manifest that the platform can do nothing with, EnvironmentFailed when
    kustomize or kubeconform is not there or fails.
    """
    began = time.monotonic()
    image_named = reference(image)
    files = kustomization.files(manifest, image_named, context.environment, platform)
    context.progress.step(f"rendering the Kubernetes objects for {context.environment}")
    shared = resources.folder("kustomize")
    rendered, objects = await _rendered(context, shared, files)
    write_atomically(context.run_folder / OBJECTS, objects)
    checked = await _checked(context, shared / "schemas")
    violations = tuple(_invalid(finding) for finding in checked.findings)
    metadata = manifest.model.metadata
    what = f"{metadata.namespace}/{metadata.name} for {context.environment}"
    if platform is not None:
        what += f" with {platform}"
    summary = f"{rendered.audited} Kubernetes objects of {what}"
    if violations:
        summary = f"{len(violations)} of the {summary} are not valid"
    report = StageReport(
        stage=NAME,
        outcome=Outcome.DENIED if violations else Outcome.PASSED,
        summary=summary,
        inputs={
            "manifest": manifest.digest,
            "image": image_named.digest,
            "overlays": digest.of_folder(shared),
        },
        outputs={"objects": digest.of_bytes(objects)},
        violations=violations,
        tools=(rendered, checked),
        artifacts={"objects": OBJECTS},
        seconds=time.monotonic() - began,
    )
    return report, objects


async def _rendered(
    context: Context, shared: Path, files: dict[str, bytes]
) -> tuple[ToolReport, bytes]:
    with tempfile.TemporaryDirectory(prefix="mlifecycle-render-") as room:
        own = Path(room) / OWN
        await anyio.to_thread.run_sync(_write, own, files)
        outcome = await _called(context, kustomize.build({SHARED: shared, OWN: own}, OWN))
    try:
        objects, count = kustomize.objects(outcome)
    except NoResult as reason:
        raise EnvironmentFailed(
            f"There are no Kubernetes objects: {kustomize.NAME}: {reason}."
        ) from reason
    report = ToolReport(
        tool=kustomize.NAME,
        version=await context.runtime.version(kustomize.NAME) or "unknown",
        status=ToolStatus.RAN,
        audited=count,
        seconds=outcome.seconds,
    )
    return report, objects


async def _checked(context: Context, schemas: Path) -> ToolReport:
    """What kubeconform says of the objects. An object without a schema leaves all unjudged."""
    inputs = {
        kubeconform.OBJECTS: context.run_folder / OBJECTS,
        kubeconform.SCHEMAS: schemas,
    }
    outcome = await _called(context, kubeconform.invocation(inputs))
    version = await context.runtime.version(kubeconform.NAME) or "unknown"
    report = kubeconform.parse(outcome, version)
    if report.status is not ToolStatus.RAN:
        raise EnvironmentFailed(
            f"The Kubernetes objects were not checked: {kubeconform.NAME}: {report.reason}."
        )
    return report


async def _called(context: Context, call: Invocation) -> Run:
    try:
        return await context.runtime.run(call)
    except ToolNotFound as error:
        raise EnvironmentFailed(f"{error.tool} is not installed.", error.remedy) from error


def _invalid(finding: Finding) -> Violation:
    place, _, reason = finding.message.partition(": ")
    return Violation(
        id="RND-OBJ-001",
        title="Every object is what its schema says",
        path=place,
        actual=reason,
        expected="an object that the strict schema of its kind allows",
        remedy="Correct the overlay or component under kustomize/ that the object comes from.",
    )


def reference(image: str) -> ImageReference:
    """The image's name in its parts. Raises InvalidInput when it has no digest."""
    parsed = image_reference.parse(image)
    if parsed is None:
        raise InvalidInput(
            [
                Problem(
                    "image",
                    "",
                    shown(image),
                    image_reference.EXPECTED,
                    "Name the image that was pushed by the digest that the registry gave it: a tag "
                    "may be another image by the time a pod starts.",
                )
            ]
        )
    return parsed


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
