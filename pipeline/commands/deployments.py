"""The commands about what is deployed, and about this machine."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline.commands.options import (
    CHANGE,
    FAILED,
    NO,
    YES,
    change_options,
    change_settings,
    deployment_options,
    name_argument,
    placed_options,
    require_unset,
    show,
    show_run,
)
from pipeline.environment import Environment


def _local(state: Path, environment: str) -> tuple[Any, Environment]:
    from pipeline.state import State

    return State(state.absolute()), Environment(environment)


def _cluster(target: str, kubeconfig: Path | None, context: str | None) -> Any:
    """The cluster that is meant; None for this machine."""
    if target == "process":
        require_unset(("kubeconfig", "context", "namespace"), "--target kubernetes")
        return None
    from pipeline.targets.kubernetes.cluster import Cluster

    return Cluster.connect(kubeconfig, context)


def placed(command: Callable[..., int]) -> Callable[..., int]:
    """Gives a command the cluster in the place of the options that name it, or None."""

    @placed_options
    @functools.wraps(command)
    def wrapped(target: str, kubeconfig: Path | None, context: str | None, **options: Any) -> int:
        return command(cluster=_cluster(target, kubeconfig, context), **options)

    return wrapped


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@placed
def status(
    cluster: Any,
    namespace: str | None,
    name: str | None,
    environment: str,
    state: Path,
    output: str,
) -> int:
    """Say what serves where, and repair what a killed command left behind.

    In a cluster nothing is changed: the next deploy or rollback repairs. Exit code 1 when something
    should serve and is not healthy.

    \b
    Examples:
      mlifecycle status
      mlifecycle status fraud-detector --output json
      mlifecycle status --target kubernetes --namespace payments-risk
    """
    import anyio

    if cluster is not None:
        from pipeline.cluster import operations as cluster_operations
        from pipeline.reports import cluster as cluster_reports

        there = anyio.run(cluster_operations.status, cluster, namespace, name)
        show(output, cluster_reports.document(there), cluster_reports.text(there))
        return YES if all(entry.good for entry in there) else NO
    from pipeline import operations
    from pipeline.reports import operations as reports

    found = anyio.run(operations.status, *_local(state, environment), name)
    show(output, reports.status_document(found), reports.status_text(found))
    return YES if all(entry.good for entry in found) else NO


@click.command()
@name_argument
@placed
def history(
    cluster: Any, namespace: str | None, name: str, environment: str, state: Path, output: str
) -> int:
    """List what served when, and on whose verdict, newest first.

    \b
    Example:
      mlifecycle history fraud-detector
    """
    import anyio

    from pipeline.reports import operations as reports

    place, where = _local(state, environment)
    if cluster is not None:
        from pipeline.cluster import operations as cluster_operations

        events = anyio.run(cluster_operations.history, cluster, namespace, place, name)
    else:
        from pipeline import operations

        events = anyio.run(operations.history, place, where, name)
    show(output, reports.history_document(events), reports.history_text(events))
    return YES


@click.command()
@name_argument
@click.option("--to", "version", metavar="VERSION", help="The version to return to.")
@change_options
@placed
def rollback(
    cluster: Any,
    namespace: str | None,
    name: str,
    version: str | None,
    environment: str,
    state: Path,
    output: str,
    **options: Any,
) -> int:
    """Return to the version that served before, or to --to, verified like any other deploy.

    \b
    Examples:
      mlifecycle rollback fraud-detector
      mlifecycle rollback fraud-detector --to 1.1.0
      mlifecycle rollback fraud-detector --target kubernetes
    """
    import anyio

    from pipeline.reports import terminal

    live = terminal.Live(sys.stderr)
    place, where = _local(state, environment)
    if cluster is not None:
        from pipeline.cluster import operations as cluster_operations

        settings = change_settings(options)
        back = functools.partial(
            cluster_operations.rollback, cluster, namespace, place, name, version, settings, live
        )
        return show_run(output, anyio.run(back))
    from pipeline import operations

    require_unset(CHANGE, "--target kubernetes")
    return show_run(output, anyio.run(operations.rollback, place, where, name, version, live))


@click.command()
@name_argument
@click.option("--lines", type=click.IntRange(1), default=100, show_default=True)
@placed
def logs(
    cluster: Any,
    namespace: str | None,
    name: str,
    lines: int,
    environment: str,
    state: Path,
    output: str,
) -> int:
    """Show the last lines that a deployment's servers wrote, oldest first.

    \b
    Example:
      mlifecycle logs fraud-detector --lines 20
    """
    import anyio

    if cluster is not None:
        from pipeline.cluster import operations as cluster_operations

        found = anyio.run(cluster_operations.logs, cluster, namespace, name, lines)
    else:
        from pipeline import operations

        found = anyio.run(operations.logs, *_local(state, environment), name, lines)
    show(output, found, "\n".join(found))
    return YES


@click.command()
@name_argument
@placed
def stop(
    cluster: Any, namespace: str | None, name: str, environment: str, state: Path, output: str
) -> int:
    """Stop a deployment: its requests finish, its port closes, the catalog is told.

    In a cluster, its objects are removed.

    \b
    Example:
      mlifecycle stop fraud-detector
    """
    import anyio

    place, where = _local(state, environment)
    if cluster is not None:
        from pipeline.cluster import operations as cluster_operations

        stopped = anyio.run(cluster_operations.stop, cluster, namespace, place, name)
    else:
        from pipeline import operations

        stopped = anyio.run(operations.stop, place, where, name)
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
