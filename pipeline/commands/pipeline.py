"""The commands that take a manifest: validate, govern, lock, build, scan, sbom, deploy."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import click

from pipeline.commands.options import (
    YES,
    manifest_option,
    output_option,
    pipeline_options,
    print_json,
    show_run,
    state_option,
)
from pipeline.environment import Environment


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


def _pipeline(goal: str, manifest: Path, output: str, **settings: Any) -> int:
    import anyio

    from pipeline import release
    from pipeline.reports import terminal

    request = release.Request(goal=release.Goal(goal), manifest=manifest, **settings)
    return show_run(output, anyio.run(release.run, request, terminal.Live(sys.stderr)))


def _request_settings(
    environment: str, policies: Path | None, policies_mode: str, state: Path
) -> dict[str, Any]:
    from pipeline.state import State

    return {
        "environment": Environment(environment),
        "policies": policies,
        "policies_mode": policies_mode,
        "state": State(state.absolute()),
    }


@click.command()
@pipeline_options
def govern(manifest: Path, output: str, **options: Any) -> int:
    """Judge a manifest against the policies, without building anything.

    \b
    Examples:
      mlifecycle govern --manifest model-manifest.yaml --environment prod
      mlifecycle govern --manifest model-manifest.yaml --policies our-rules/ --output json
    """
    return _pipeline("govern", manifest, output, **_request_settings(**options))


@click.command()
@manifest_option
@click.option("--upgrade", is_flag=True, help="Take newer versions even where the lock still fits.")
@state_option
@output_option
def lock(manifest: Path, upgrade: bool, state: Path, output: str) -> int:
    """Resolve the manifest's and the server's dependencies into one hash lock beside the manifest.

    \b
    Example:
      mlifecycle lock --manifest model-manifest.yaml
    """
    import anyio

    from pipeline import manifest as manifests
    from pipeline.runtimes.host import Host
    from pipeline.stages import lock as stage

    loaded = manifests.load(manifest)
    written = anyio.run(functools.partial(stage.write, Host(), loaded, upgrade=upgrade))
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
    return _pipeline("build", manifest, output, **_request_settings(**options))


@click.command()
@pipeline_options
def scan(manifest: Path, output: str, **options: Any) -> int:
    """Build the release and scan it with every scanner; SARIF, JUnit and JSON reports.

    \b
    Example:
      mlifecycle scan --manifest model-manifest.yaml --environment staging
    """
    return _pipeline("scan", manifest, output, **_request_settings(**options))


@click.command()
@pipeline_options
def sbom(manifest: Path, output: str, **options: Any) -> int:
    """Build the release and write its bill of materials (CycloneDX and SPDX).

    \b
    Example:
      mlifecycle sbom --manifest model-manifest.yaml
    """
    return _pipeline("sbom", manifest, output, **_request_settings(**options))


@click.command()
@pipeline_options
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port of a first deployment on 127.0.0.1; a free one by default. Later ones keep it.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another command on the same model.",
)
def deploy(manifest: Path, output: str, port: int | None, wait: float, **options: Any) -> int:
    """Take a manifest all the way: judged, built, scanned, started, verified, registered.

    The version that serves now keeps serving until the new one has answered its golden inputs.

    \b
    Examples:
      mlifecycle deploy --manifest model-manifest.yaml
      mlifecycle deploy --manifest model-manifest.yaml --environment staging --output json
    """
    from pipeline.places.host import HostPlace

    settings = _request_settings(**options) | {"place": HostPlace(port), "wait": wait}
    return _pipeline("deploy", manifest, output, **settings)
