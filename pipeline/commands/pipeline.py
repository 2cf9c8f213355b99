"""The commands that take a manifest: validate, govern, lock, build, scan, sbom, render, deploy."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.options import (
    CHANGE,
    CLUSTER,
    YES,
    change_options,
    change_settings,
    cluster_options,
    manifest_option,
    output_option,
    pipeline_options,
    print_json,
    require_unset,
    show_run,
    state_option,
)
from pipeline.environment import Environment

if TYPE_CHECKING:
    from pipeline.cluster.work import Settings
    from pipeline.places.interface import Place
    from pipeline.release import Result


@click.command()
@manifest_option
@output_option
def validate(manifest: Path, output: str) -> int:
    """Check that a manifest is well-formed: every problem at once, with its line.

    \b
    Example:
      mlifecycle validate --manifest model-manifest.yaml
    """
    from pipeline import manifest as manifests

    loaded = manifests.load(manifest)
    model = loaded.model.spec.model
    if output == "json":
        print_json({"valid": True, "manifest": str(manifest), "digest": loaded.digest})
    else:
        click.echo(f"{manifest} is valid: {model.name} {model.version}, {loaded.digest}")
    return YES


def _pipeline(
    goal: str,
    manifest: Path,
    output: str,
    *,
    port: int | None = None,
    onto: Callable[[Place], Place] = lambda place: place,
    **settings: Any,
) -> int:
    """Run to the goal in the place that `--runtime` names; `onto` may send it elsewhere."""
    return show_run(output, _ran(goal, manifest, port, onto, **settings))


def _ran(
    goal: str,
    manifest: Path,
    port: int | None = None,
    onto: Callable[[Place], Place] = lambda place: place,
    **settings: Any,
) -> Result:
    import anyio

    return anyio.run(functools.partial(_run, goal, manifest, port, onto, **settings))


async def _run(
    goal: str,
    manifest: Path,
    port: int | None,
    onto: Callable[[Place], Place],
    **settings: Any,
) -> Result:
    from pipeline import release
    from pipeline.reports import terminal
    from pipeline.state import State

    runtime = settings.pop("runtime")
    own = {name: settings.pop(name) for name in _CONTAINERS}
    settings["environment"] = Environment(settings["environment"])
    settings["state"] = State(settings["state"].absolute())
    request = functools.partial(
        release.Request, goal=release.Goal(goal), manifest=manifest, **settings
    )
    observer = terminal.Live(sys.stderr)
    if runtime == "host":
        from pipeline.places.host import HostPlace

        require_unset(_CONTAINERS, "--runtime dagger")
        return await release.run(request(place=onto(HostPlace(port))), observer)
    from pipeline.places.containers.session import Options, connected
    from pipeline.stages.lock import additional_index

    options = Options(**own, torch_index=additional_index())
    async with connected(options) as place:
        return await release.run(request(place=onto(place)), observer)


_CONTAINERS = ("registry", "registry_username", "images", "trivy_db", "grype_db")


@click.command()
@pipeline_options
def govern(manifest: Path, output: str, **options: Any) -> int:
    """Judge a manifest against the policies, without building anything.

    \b
    Examples:
      mlifecycle govern --manifest model-manifest.yaml --environment prod
      mlifecycle govern --manifest model-manifest.yaml --policies our-rules/ --output json
    """
    return _pipeline("govern", manifest, output, **options)


@click.command()
@manifest_option
@click.option("--upgrade", is_flag=True, help="Take newer versions even where the lock still fits.")
@state_option
@output_option
def lock(manifest: Path, upgrade: bool, state: Path, output: str) -> int:
    """Resolve the manifest's and the server's dependencies into a hash lock beside the manifest.

    With `lane: auto`, one for each lane.

    \b
    Example:
      mlifecycle lock --manifest model-manifest.yaml
    """
    import anyio

    from pipeline import manifest as manifests
    from pipeline.conversion import lanes
    from pipeline.runtimes.host import Host
    from pipeline.stages import lock as stage

    loaded = manifests.load(manifest)
    for lane in lanes(loaded):
        written = anyio.run(functools.partial(stage.write, Host(), loaded, lane, upgrade=upgrade))
        if output == "json":
            print_json({"lock": str(written.path), "digest": written.digest})
        else:
            click.echo(f"{written.path} is written: {written.packages} packages, {written.digest}")
    return YES


@click.command()
@pipeline_options
def build(manifest: Path, output: str, **options: Any) -> int:
    """Build the release: server, model and locked dependencies in a folder named by its digest.

    \b
    Example:
      mlifecycle build --manifest model-manifest.yaml
    """
    return _pipeline("build", manifest, output, **options)


@click.command()
@pipeline_options
def scan(manifest: Path, output: str, **options: Any) -> int:
    """Build the release and scan it with every scanner; SARIF, JUnit and JSON reports.

    \b
    Example:
      mlifecycle scan --manifest model-manifest.yaml --environment staging
    """
    return _pipeline("scan", manifest, output, **options)


@click.command()
@pipeline_options
def sbom(manifest: Path, output: str, **options: Any) -> int:
    """Build the release and write its bill of materials (CycloneDX and SPDX).

    \b
    Example:
      mlifecycle sbom --manifest model-manifest.yaml
    """
    return _pipeline("sbom", manifest, output, **options)


@click.command()
@pipeline_options
@click.option(
    "--image",
    metavar="REFERENCE",
    help="The image to run, by digest. Needed on a host; in containers it is built if not named.",
)
@click.option(
    "--for",
    "platform",
    type=click.Choice(["argo-rollouts", "flagger", "kserve"]),
    help="What the cluster has that brings models into service by itself.",
)
def render(
    manifest: Path, output: str, image: str | None, platform: str | None, **options: Any
) -> int:
    """Write the Kubernetes objects that run the model, judged, as one YAML on standard output.

    \b
    Examples:
      mlifecycle render --manifest m.yaml --image ghcr.io/acme/m@sha256:… > objects.yaml
      mlifecycle render --manifest m.yaml --image ghcr.io/acme/m@sha256:… --for argo-rollouts
    """
    from pipeline.kubernetes.platforms import Platform
    from pipeline.stages.render import OBJECTS

    if image is None and options["runtime"] == "host":
        raise click.UsageError("--image is needed with --runtime host, where no image is built")
    chosen = Platform(platform) if platform is not None else None
    result = _ran("render", manifest, image=image, platform=chosen, **options)
    if output == "json" or result.record.outcome != "passed":
        return show_run(output, result)
    sys.stdout.write((result.folder / OBJECTS).read_text(encoding="utf-8"))
    return YES


@click.command()
@pipeline_options
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port of a first deployment on 127.0.0.1; a free one by default. Later ones keep it.",
)
@cluster_options
@click.option(
    "--image",
    metavar="REFERENCE",
    help="With kubernetes: an image by digest that was built of this manifest before.",
)
@change_options
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another command on the same model.",
)
def deploy(
    manifest: Path,
    output: str,
    port: int | None,
    wait: float,
    target: str,
    kubeconfig: Path | None,
    context: str | None,
    image: str | None,
    **options: Any,
) -> int:
    """Take a manifest all the way: judged, built, scanned, started, verified, registered.

    The version that serves now keeps serving until the new one has answered its golden inputs.

    \b
    Examples:
      mlifecycle deploy --manifest model-manifest.yaml
      mlifecycle deploy --manifest model-manifest.yaml --environment staging --output json
      mlifecycle deploy --manifest m.yaml --runtime dagger --registry ghcr.io/acme/ml
      mlifecycle deploy --manifest m.yaml --target kubernetes --image ghcr.io/acme/ml@sha256:…
      mlifecycle deploy --manifest m.yaml --target kubernetes --runtime dagger --registry …
    """
    if target == "process":
        require_unset(CLUSTER, "--target kubernetes")
        for name in CHANGE:
            del options[name]
        return _pipeline("deploy", manifest, output, port=port, wait=wait, **options)
    require_unset(("port",), "--target process")
    settings = change_settings(options)
    onto = _cluster(options, kubeconfig, context, image, settings)
    return _pipeline("deploy", manifest, output, wait=wait, onto=onto, **options)


def _cluster(
    options: dict[str, Any],
    kubeconfig: Path | None,
    context: str | None,
    image: str | None,
    settings: Settings,
) -> Callable[[Place], Place]:
    """Sends what is built to a cluster. Everything that can be refused early is."""
    from pipeline import image_reference
    from pipeline.places.cluster import ClusterPlace, GivenImage
    from pipeline.targets.kubernetes.cluster import Cluster

    built = options["runtime"] == "dagger"
    if built and image is not None:
        raise click.UsageError("--image goes with --runtime host; dagger deploys what it builds")
    if built and options["registry"] is None:
        raise click.UsageError("--target kubernetes with --runtime dagger needs --registry")
    if not built and image is None:
        raise click.UsageError("--target kubernetes needs --image, or --runtime dagger to build it")
    if image is not None and image_reference.parse(image) is None:
        raise click.UsageError(f"--image is {image!r}; expected {image_reference.EXPECTED}")
    cluster = Cluster.connect(kubeconfig, context)

    def onto(place: Place) -> Place:
        if image is not None:
            return ClusterPlace(place, cluster, GivenImage(image), settings)
        from pipeline.places.containers.place import ContainerPlace

        if not isinstance(place, ContainerPlace):
            raise TypeError("no image is built here")
        return ClusterPlace(place, cluster, place, settings)

    return onto
