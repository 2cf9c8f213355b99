"""The CI wrappers of `examples/ci`, and the `dagger call` commands that stand in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "examples" / "ci"
GITHUB = FOLDER / "github" / "deploy-model.yml"
WRAPPERS = (
    GITHUB,
    FOLDER / "gitlab-ci.yml",
    FOLDER / "Jenkinsfile",
    FOLDER / "config.yml",
    FOLDER / "azure-pipelines.yml",
)


def commands_of(path: Path) -> list[list[str]]:
    """Each `dagger call` of a wrapper as words, in the file's order, on this checkout's module.

    All five formats hold a command as its own lines, so that one way to read them does for all.
    """
    joined = re.sub(r"\\\n\s*", "", path.read_text())
    lines = (line.strip() for line in joined.splitlines())
    commands = [shlex.split(line) for line in lines if line.startswith("dagger call ")]
    for command in commands:
        command[command.index("-m") + 1] = str(REPOSITORY)
    return commands


def command_of(path: Path) -> list[str]:
    """The command that deploys."""
    (command,) = (command for command in commands_of(path) if "deploy" in command)
    return command


def evidence_of(path: Path) -> list[str]:
    """The command that exports what the deploy left, whatever became of it."""
    (command,) = (command for command in commands_of(path) if "evidence" in command)
    return command
