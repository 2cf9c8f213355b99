"""The commands about what is deployed, and about this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from pipeline.commands.options import (
    FAILED,
    NO,
    YES,
    deployment_options,
    name_argument,
    show,
    show_run,
)
from pipeline.environment import Environment


def _local(state: Path, environment: str) -> tuple[Any, Environment]:
    from pipeline.state import State

    return State(state.absolute()), Environment(environment)


@click.command()
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
    show(output, reports.status_document(found), reports.status_text(found))
    return YES if all(entry.good for entry in found) else NO


@click.command()
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
    show(output, reports.history_document(events), reports.history_text(events))
    return YES


@click.command()
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
    return show_run(
        output,
        anyio.run(operations.rollback, *_local(state, environment), name, version, live),
    )


@click.command()
@name_argument
@click.option("--lines", type=click.IntRange(1), default=100, show_default=True)
@deployment_options
def logs(name: str, lines: int, environment: str, state: Path, output: str) -> int:
    """Show the last lines that a deployment's servers wrote, oldest first.

    \b
    Example:
      mlifecycle logs fraud-detector --lines 20
    """
    import anyio

    from pipeline import operations

    found = anyio.run(operations.logs, *_local(state, environment), name, lines)
    show(output, found, "\n".join(found))
    return YES


@click.command()
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
    show(output, {"stopped": stopped}, f"{name} {'is stopped' if stopped else 'was not serving'}.")
    return YES


@click.command()
@deployment_options
def doctor(environment: str, state: Path, output: str) -> int:
    """Name each missing tool, what it is for and how to get it.

    What --environment demands is required; exit code 3 when some of it is missing.

    \b
    Examples:
      mlifecycle doctor
      mlifecycle doctor --environment prod
    """
    import anyio

    from pipeline import doctor as examination
    from pipeline.runtimes.host import Host

    checks = anyio.run(examination.examine, Host(), *_local(state, environment))
    show(output, examination.document(checks), examination.text(checks))
    return YES if examination.good(checks) else FAILED
