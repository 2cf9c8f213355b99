"""The command line: arguments in, one call into the library, a report and an exit code out.

Exit codes: 0 yes; 1 the pipeline says no; 2 invalid input or usage; 3 a tool or the environment
failed. Results go to standard output, progress to standard error, so that `--output json` can be
piped. Everything heavier than click is imported by the command that needs it.
"""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from typing import Any

import click

from pipeline import __version__
from pipeline.commands import deployments, pipeline
from pipeline.commands.options import FAILED, INTERRUPTED, INVALID, YES, print_json
from pipeline.errors import EnvironmentFailed, InvalidInput, MlifecycleError, Problem, first_of


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


for _command in (
    *(pipeline.validate, pipeline.govern, pipeline.lock, pipeline.build),
    *(pipeline.scan, pipeline.sbom, pipeline.render, pipeline.deploy),
    *(deployments.status, deployments.history, deployments.rollback, deployments.logs),
    *(deployments.stop, deployments.doctor),
):
    cli.add_command(_command)


def _report(error: MlifecycleError, as_json: bool) -> None:
    if as_json:
        problems = error.problems if isinstance(error, InvalidInput) else ()
        print_json(
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
    as_json = "--output=json" in arguments or ("--output", "json") in pairwise(arguments)
    try:
        return int(cli.main(arguments, prog_name="mlifecycle", standalone_mode=False) or YES)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        if as_json:
            _report(InvalidInput([_usage(error)]), as_json)
        else:
            error.show()
        return INVALID
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted; what was serving still serves.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    except Exception as error:
        if os.environ.get("MLIFECYCLE_DEBUG"):
            raise
        failure = _in_words(error)
        _report(failure, as_json)
        return failure.exit_code


def _usage(error: click.ClickException) -> Problem:
    return Problem("command line", "", "", error.format_message(), "See --help.")


def _in_words(error: BaseException) -> MlifecycleError:
    """The error that a person is shown. What nobody foresaw is the environment's or ours."""
    error = first_of(error)
    if isinstance(error, MlifecycleError):
        return error
    if isinstance(error, OSError):
        return EnvironmentFailed(
            f"{error}.", "See that the disk has room and that this user may write there."
        )
    return EnvironmentFailed(
        f"mlifecycle failed by a mistake of its own: {type(error).__name__}: {error}.",
        "Set MLIFECYCLE_DEBUG=1 to see where, and report it.",
    )


def main() -> None:
    """The `mlifecycle` program."""
    sys.exit(run(sys.argv[1:]))
