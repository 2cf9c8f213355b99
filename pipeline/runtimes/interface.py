"""The contract between a tool and the place where it runs.

An `Invocation` is a tool call as data. Whatever runs it lays the named inputs out under one
working folder, runs the command there, and hands back the exit code, the output and the named
output files. Arguments therefore name inputs and outputs by their relative names, which mean the
same on a host and in a container.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Held(Protocol):
    """A file or folder that the runtime itself holds, in an engine for example.

    It may be gigabytes, so nobody but that runtime opens it.
    """

    @property
    def digest(self) -> str:
        """`sha256:<hex>` or another name that changes with its content."""


# How a program is asked for its version where it does not know `--version`.
VERSION_ARGUMENTS = {
    "cosign": "version",
    "kubeconform": "-v",
    "kustomize": "version",
    "opa": "version",
}
# Without a network, to look for a newer one takes semgrep a minute and a half.
VERSION_ENVIRONMENT = {"semgrep": {"SEMGREP_ENABLE_VERSION_CHECK": "0"}}

# What can be laid out for a tool. A host is only given paths.
Input = Path | Held


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of one tool.

    `inputs` maps a relative name in the working folder to a file or folder (given read-only), which
    lies on this machine or is held by the runtime.
    `outputs` are the relative names of files that the command is expected to write there.
    `environment` adds variables; it never carries secrets. `timeout` is in seconds. What a `dated`
    call says holds for a day, such as how old a database is.
    """

    tool: str
    command: str
    arguments: tuple[str, ...] = ()
    inputs: Mapping[str, Input] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    network: bool = False
    dated: bool = False
    timeout: float = 300.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an Invocation. A non-zero exit code is data, not an error.

    `files` holds the outputs that were written, by their names in the Invocation; one that is
    absent was not written. `timed_out` is set when the command was ended at its time limit.
    """

    exit_code: int
    stdout: str
    stderr: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0
    timed_out: bool = False


class ToolNotFound(Exception):
    """The runtime has no such tool. Scanners turn it into `not run`; others into an error."""

    def __init__(self, tool: str, remedy: str) -> None:
        self.tool = tool
        self.remedy = remedy
        super().__init__(f"{tool} is not installed. {remedy}")


class Runtime(Protocol):
    """Where tools run."""

    name: str

    async def run(self, invocation: Invocation) -> Outcome:
        """Run to the end and report. Raises ToolNotFound; nothing else for a command's failure."""

    async def version(self, tool: str) -> str | None:
        """The version of the program behind a tool's name, or None when it is not there."""


def version_question(tool: str, timeout: float) -> Invocation:
    """Ask a program for its version, for up to `timeout` seconds."""
    return Invocation(
        tool=tool,
        command=tool,
        arguments=(VERSION_ARGUMENTS.get(tool, "--version"),),
        environment=VERSION_ENVIRONMENT.get(tool, {}),
        timeout=timeout,
    )
