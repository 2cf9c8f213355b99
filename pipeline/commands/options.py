"""What the commands share: their options, their exit codes, and how they show a result."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.environment import Environment

if TYPE_CHECKING:
    from pipeline.cluster.work import Settings
    from pipeline.release import Result

Command = Callable[..., Any]
YES, NO, INVALID, FAILED, INTERRUPTED = 0, 1, 2, 3, 130


def _all_of(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    return lambda command: functools.reduce(lambda c, d: d(c), reversed(decorators), command)


class _Path(click.Path):
    """A path that is not empty: the system takes that for the current folder, a person does not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty", param, ctx)
        return super().convert(value, param, ctx)


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
    type=_Path(path_type=Path),
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
    type=_Path(path_type=Path, file_okay=False),
    default=Path(".mlifecycle"),
    show_default=True,
    envvar="MLIFECYCLE_STATE",
    metavar="DIR",
    help="Folder for releases, runs, deployments and the local catalog.",
)
policy_options = _all_of(
    click.option(
        "--policies",
        type=_Path(path_type=Path),
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
runtime_options = _all_of(
    click.option(
        "--runtime",
        type=click.Choice(["host", "dagger"]),
        default="host",
        show_default=True,
        envvar="MLIFECYCLE_RUNTIME",
        help="Where the tools run: on this machine, or in containers of a Dagger engine.",
    ),
    click.option(
        "--registry",
        metavar="REPOSITORY",
        envvar="MLIFECYCLE_REGISTRY",
        help="With dagger: where deploy publishes the image, such as ghcr.io/acme/models.",
    ),
    click.option(
        "--registry-username",
        metavar="NAME",
        envvar="MLIFECYCLE_REGISTRY_USERNAME",
        help="Its user; the password is read from MLIFECYCLE_REGISTRY_PASSWORD.",
    ),
    click.option(
        "--images",
        type=_Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        envvar="MLIFECYCLE_IMAGES",
        help="With dagger: a file that maps tools to other images by digest, for mirrors.",
    ),
    click.option(
        "--trivy-db",
        type=_Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help="With dagger: trivy's vulnerability database as a tar.",
    ),
    click.option(
        "--grype-db",
        type=_Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help="With dagger: grype's vulnerability database as an archive.",
    ),
)
_target_option = click.option(
    "--target",
    type=click.Choice(["process", "kubernetes"]),
    default="process",
    show_default=True,
    envvar="MLIFECYCLE_TARGET",
    help="Where models serve: as a process of this machine, or in a cluster.",
)
cluster_options = _all_of(
    _target_option,
    click.option(
        "--kubeconfig",
        type=_Path(path_type=Path, exists=True, dir_okay=False),
        metavar="FILE",
        help="With kubernetes: how the cluster is reached; by default as kubectl does.",
    ),
    click.option(
        "--context", metavar="NAME", help="With kubernetes: which of the kubeconfig's contexts."
    ),
)
namespace_option = click.option(
    "--namespace", "-n", metavar="NAME", help="With kubernetes: look there only; by default in all."
)
change_options = _all_of(
    click.option(
        "--timeout",
        type=click.FloatRange(1),
        default=600.0,
        show_default=True,
        metavar="SECONDS",
        help="With kubernetes: how long pods may take to get ready.",
    ),
    click.option(
        "--strategy",
        type=click.Choice(["rolling", "canary"]),
        default="rolling",
        show_default=True,
        help="With kubernetes: canary runs a few pods beside the old version first, and compares.",
    ),
    click.option(
        "--canary-pods",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        metavar="NUMBER",
        help="With canary: how many; their share of the requests is their share of the pods.",
    ),
    click.option(
        "--canary-seconds",
        type=click.FloatRange(5, 3600),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="With canary: how long both versions are watched.",
    ),
    click.option(
        "--force-conflicts",
        is_flag=True,
        help="With kubernetes: write over fields that somebody else has set.",
    ),
)
pipeline_options = _all_of(
    manifest_option, environment_option, policy_options, runtime_options, state_option,
    output_option,
)  # fmt: skip
name_argument = click.argument("name", metavar="NAME")
deployment_options = _all_of(environment_option, state_option, output_option)
placed_options = _all_of(deployment_options, cluster_options, namespace_option)
CHANGE = ("timeout", "force_conflicts", "strategy", "canary_pods", "canary_seconds")
CLUSTER = ("kubeconfig", "context", "namespace", "image", *CHANGE)


def change_settings(options: dict[str, Any]) -> Settings:
    """Takes the options of `change_options` out of a command's."""
    from pipeline.cluster.work import KEY_VARIABLE, Settings, as_key

    given = {name: options.pop(name) for name in CHANGE}
    return Settings(
        timeout=given["timeout"],
        force=given["force_conflicts"],
        canary=given["canary_pods"] if given["strategy"] == "canary" else 0,
        watched=given["canary_seconds"],
        key=as_key(os.environ.get(KEY_VARIABLE, ""), KEY_VARIABLE),
    )


def require_unset(names: tuple[str, ...], instead: str) -> None:
    """An option that would be without effect is refused, when it was given in words."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with {instead}")


def print_json(document: Any) -> None:
    """Print JSON for scripts."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def show(output: str, document: Any, text: str) -> None:
    """Print a result in the form that was asked for."""
    if output == "json":
        print_json(document)
        return
    from pipeline.reports import terminal

    click.echo(terminal.safe(text))


def show_run(output: str, result: Result) -> int:
    """Print what came of a run, and return its exit code."""
    from pipeline.reports import terminal

    if output == "json":
        document = result.record.model_dump(mode="json")
        document["folder"] = str(result.folder)
        document["url"] = result.served.url if result.served else None
        print_json(document)
    else:
        click.echo(terminal.summary(result.record, result.folder, sys.stdout), nl=False)
    return YES if result.record.outcome == "passed" else NO
