"""The command line: arguments in, one call into the library, a report and an exit code out.

Exit codes: 0 yes; 1 the pipeline says no; 2 invalid input or usage; 3 a tool or the environment
failed. Results go to standard output, progress to standard error, so that `--output json` can be
piped. Everything heavier than click is imported by the command that needs it.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import __version__
from pipeline.environment import Environment
from pipeline.errors import InvalidInput, MlifecycleError, Problem

if TYPE_CHECKING:
    from pipeline.release import Result as RunResult

Command = Callable[..., Any]
YES, NO, INVALID, FAILED, INTERRUPTED = 0, 1, 2, 3, 130


def _all_of(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    return lambda command: functools.reduce(lambda c, d: d(c), reversed(decorators), command)


output_option = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the result on standard output.",
)
manifest_option = click.option(
    "--manifest",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The model manifest.",
)
environment_option = click.option(
    "--environment",
    "-e",
    type=click.Choice([environment.value for environment in Environment]),
    default=Environment.LOCAL.value,
    show_default=True,
    envvar="MLIFECYCLE_ENVIRONMENT",
    help="Whose thresholds apply and where the model goes.",
)
state_option = click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".mlifecycle"),
    show_default=True,
    envvar="MLIFECYCLE_STATE",
    metavar="DIR",
    help="Folder for releases, runs, deployments and the local catalog.",
)
policy_options = _all_of(
    click.option(
        "--policies",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Your own Rego policies and data.",
    ),
    click.option(
        "--policies-mode",
        type=click.Choice(["extend", "replace"]),
        default="extend",
        show_default=True,
        help="Whether --policies adds to the bundled policies or stands in their place.",
    ),
)
pipeline_options = _all_of(
    manifest_option, environment_option, policy_options, state_option, output_option
)
name_argument = click.argument("name", metavar="NAME")
deployment_options = _all_of(environment_option, state_option, output_option)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="mlifecycle")
def cli() -> None:
    """From a model manifest to a governed, verified and catalogued model server.

    \b
    Examples:
      mlifecycle deploy --manifest model-manifest.yaml
      mlifecycle govern --manifest model-manifest.yaml --environment prod
      mlifecycle rollback fraud-detector

    \b
    Exit codes:
      0  yes
      1  the pipeline says no; the report says why
      2  invalid input or usage
      3  a tool or the environment failed

    \b
    Shell completion (bash; zsh and fish alike):
      eval "$(_MLIFECYCLE_COMPLETE=bash_source mlifecycle)"
    """


@cli.command()
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
        _print_json({"valid": True, "manifest": str(manifest), "digest": loaded.digest})
    else:
        click.echo(f"{manifest} is valid: {model.name} {model.version}, {loaded.digest}")
    return YES


def _pipeline(goal: str, manifest: Path, output: str, **settings: Any) -> int:
    import anyio

    from pipeline import release
    from pipeline.reports import terminal

    request = release.Request(goal=release.Goal(goal), manifest=manifest, **settings)
    return _show_run(output, anyio.run(release.run, request, terminal.Live(sys.stderr)))


def _show_run(output: str, result: RunResult) -> int:
    from pipeline.reports import terminal

    if output == "json":
        document = result.record.model_dump(mode="json")
        document["folder"] = str(result.folder)
        document["url"] = result.served.url if result.served else None
        _print_json(document)
    else:
        click.echo(terminal.summary(result.record, result.folder, sys.stdout), nl=False)
    return YES if result.record.outcome == "passed" else NO


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


@cli.command()
@pipeline_options
def govern(manifest: Path, output: str, **options: Any) -> int:
    """Judge a manifest against the policies, without building anything.

    \b
    Examples:
      mlifecycle govern --manifest model-manifest.yaml --environment prod
      mlifecycle govern --manifest model-manifest.yaml --policies our-rules/ --output json
    """
    return _pipeline("govern", manifest, output, **_request_settings(**options))


@cli.command()
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
        _print_json({"lock": str(written.path), "digest": written.digest})
    else:
        click.echo(f"{written.path} is written: {written.packages} packages, {written.digest}")
    return YES


@cli.command()
@pipeline_options
def build(manifest: Path, output: str, **options: Any) -> int:
    """Build the release: server, model and locked dependencies in a folder named by its digest.

    \b
    Example:
      mlifecycle build --manifest model-manifest.yaml
    """
    return _pipeline("build", manifest, output, **_request_settings(**options))


@cli.command()
@pipeline_options
def scan(manifest: Path, output: str, **options: Any) -> int:
    """Build the release and scan it with every scanner; SARIF, JUnit and JSON reports.

    \b
    Example:
      mlifecycle scan --manifest model-manifest.yaml --environment staging
    """
    return _pipeline("scan", manifest, output, **_request_settings(**options))


@cli.command()
@pipeline_options
def sbom(manifest: Path, output: str, **options: Any) -> int:
    """Build the release and write its bill of materials (CycloneDX and SPDX).

    \b
    Example:
      mlifecycle sbom --manifest model-manifest.yaml
    """
    return _pipeline("sbom", manifest, output, **_request_settings(**options))


@cli.command()
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
    return _pipeline(
        "deploy", manifest, output, port=port, wait=wait, **_request_settings(**options)
    )


def _local(state: Path, environment: str) -> tuple[Any, Environment]:
    from pipeline.state import State

    return State(state.absolute()), Environment(environment)


def _show(output: str, document: Any, text: str) -> None:
    if output == "json":
        _print_json(document)
        return
    from pipeline.reports import terminal

    click.echo(terminal.safe(text))


@cli.command()
@click.argument("name", metavar="[NAME]", required=False)
@deployment_options
def status(name: str | None, environment: str, state: Path, output: str) -> int:
    """Say what serves where, and repair what a killed command left behind.

    Exit code 1 when something should serve and is not healthy.

    \b
    Examples:
      mlifecycle status
      mlifecycle status fraud-detector --output json
    """
    import anyio

    from pipeline import operations
    from pipeline.reports import operations as reports

    found = anyio.run(operations.status, *_local(state, environment), name)
    _show(output, reports.status_document(found), reports.status_text(found))
    return YES if all(entry.good for entry in found) else NO


@cli.command()
@name_argument
@deployment_options
def history(name: str, environment: str, state: Path, output: str) -> int:
    """List what served when, and on whose verdict, newest first.

    \b
    Example:
      mlifecycle history fraud-detector
    """
    import anyio

    from pipeline import operations
    from pipeline.reports import operations as reports

    events = anyio.run(operations.history, *_local(state, environment), name)
    _show(output, reports.history_document(events), reports.history_text(events))
    return YES


@cli.command()
@name_argument
@click.option("--to", "version", metavar="VERSION", help="The version to return to.")
@deployment_options
def rollback(name: str, version: str | None, environment: str, state: Path, output: str) -> int:
    """Return to the version that served before, or to --to, verified like any other deploy.

    \b
    Examples:
      mlifecycle rollback fraud-detector
      mlifecycle rollback fraud-detector --to 1.1.0
    """
    import anyio

    from pipeline import operations
    from pipeline.reports import terminal

    live = terminal.Live(sys.stderr)
    return _show_run(
        output,
        anyio.run(operations.rollback, *_local(state, environment), name, version, live),
    )


@cli.command()
@name_argument
@click.option("--lines", type=click.IntRange(1), default=100, show_default=True)
@deployment_options
def logs(name: str, lines: int, environment: str, state: Path, output: str) -> int:
    """Show the last lines that a deployment's servers and supervisor wrote.

    \b
    Example:
      mlifecycle logs fraud-detector --lines 20
    """
    import anyio

    from pipeline import operations

    found = anyio.run(operations.logs, *_local(state, environment), name, lines)
    _show(output, found, "\n".join(found))
    return YES


@cli.command()
@name_argument
@deployment_options
def stop(name: str, environment: str, state: Path, output: str) -> int:
    """Stop a deployment: its requests finish, its port closes, the catalog is told.

    \b
    Example:
      mlifecycle stop fraud-detector
    """
    import anyio

    from pipeline import operations

    stopped = anyio.run(operations.stop, *_local(state, environment), name)
    _show(output, {"stopped": stopped}, f"{name} {'is stopped' if stopped else 'was not serving'}.")
    return YES


@cli.command()
@state_option
@output_option
def doctor(state: Path, output: str) -> int:
    """Name each missing tool, what it is for and how to get it.

    Exit code 3 when something is missing that the pipeline cannot do without.

    \b
    Example:
      mlifecycle doctor
    """
    import anyio

    from pipeline import doctor as examination
    from pipeline.runtimes.host import Host
    from pipeline.state import State

    checks = anyio.run(examination.examine, Host(), State(state.absolute()))
    _show(output, examination.document(checks), examination.text(checks))
    return YES if examination.good(checks) else FAILED


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _report(error: MlifecycleError, as_json: bool) -> None:
    if as_json:
        problems = error.problems if isinstance(error, InvalidInput) else ()
        _print_json(
            {
                "error": {
                    "message": str(error),
                    "exit_code": error.exit_code,
                    "problems": [_problem_json(problem) for problem in problems],
                }
            }
        )
        return
    from pipeline.reports import terminal

    click.echo(terminal.error(error, sys.stderr), err=True, nl=False)


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {field: getattr(problem, field) for field in problem.__slots__}


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    as_json = "json" in arguments or "--output=json" in arguments
    try:
        return int(cli.main(arguments, prog_name="mlifecycle", standalone_mode=False) or YES)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return INVALID
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted; what was serving still serves.", err=True)
        return INTERRUPTED
    except MlifecycleError as error:
        _report(error, as_json)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED


def main() -> None:
    """The `mlifecycle` program."""
    sys.exit(run(sys.argv[1:]))
