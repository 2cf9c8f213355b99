"""uv: resolves requirements into a lock, and installs a lock into an environment.

Wheels only, in both directions: building a source distribution runs its author's code on this
machine before any gate has looked at it.
"""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.runtimes.interface import Invocation, Outcome
from pipeline.tools.interface import ToolImage

NAME = "uv"
PACKAGE = "uv"
PIN = ToolImage(
    "ghcr.io/astral-sh/uv:0.12.23"
    "@sha256:61d393e44e249f2e4b526b6c7ddcecce245946826e608e11c93ad4f5bba55b21",
    "/uv",
)

REQUIREMENTS = "requirements.in"
LOCK = "requirements.lock.txt"

# Everything that shapes an environment besides its lock and interpreter. Part of its identity.
INSTALL_OPTIONS = (
    "--require-hashes",
    "--only-binary=:all:",
    "--no-installer-metadata",
    "--compile-bytecode",
    # Not links: whoever edits a file of one environment must not edit uv's cache and all others.
    "--link-mode=copy",
)
VENV_OPTIONS = ("--relocatable", "--prompt=release")

_CREDENTIALS = re.compile(r"//[^/@\s]+@")


def compile_lock(
    requirements: Path, *, python: str, previous: Path | None = None, index: str | None = None
) -> Invocation:
    """Resolve `requirements` for every platform and each Python from `python` on, with hashes.

    Versions in the lock `previous` are kept where they still fit. `index` is an additional index
    (the one of torch's CPU builds, say); it is used and not recorded.
    """
    inputs = {REQUIREMENTS: requirements}
    if previous is not None:
        inputs[LOCK] = previous
    return Invocation(
        tool=NAME,
        command=NAME,
        arguments=(
            *("pip", "compile", "--quiet", "--universal", "--python-version", python),
            *("--generate-hashes", "--only-binary=:all:", "--no-header"),
            *("--no-emit-index-url", "--no-emit-find-links"),
            *("-o", LOCK, REQUIREMENTS),
        ),
        inputs=inputs,
        outputs=(LOCK,),
        environment={"UV_PYTHON_DOWNLOADS": "never", **_index(index)},
        network=True,
        timeout=600,
    )


def create(environment: Path, *, python: Path) -> Invocation:
    """An empty environment at the absolute path `environment`, which this machine alone knows."""
    return Invocation(
        tool=NAME,
        command=NAME,
        arguments=("venv", "--quiet", *VENV_OPTIONS, "--python", str(python), str(environment)),
        environment={"UV_PYTHON_DOWNLOADS": "never"},
        network=True,
    )


def install(environment: Path, lock: Path, *, index: str | None = None) -> Invocation:
    """Make the environment hold what the lock says and nothing else."""
    return Invocation(
        tool=NAME,
        command=NAME,
        arguments=(
            *("pip", "sync", "--quiet", "--python", str(environment / "bin" / "python")),
            *INSTALL_OPTIONS,
            LOCK,
        ),
        inputs={LOCK: lock},
        # Compiled files that depend on their sources and their place only, not on the time.
        environment={"PYC_INVALIDATION_MODE": "UNCHECKED_HASH", **_index(index)},
        network=True,
        timeout=3600,
    )


def check(environment: Path) -> Invocation:
    """Whether each installed distribution finds what it requires."""
    python = str(environment / "bin" / "python")
    return Invocation(
        tool=NAME, command=NAME, arguments=("pip", "check", "--quiet", "--python", python)
    )


def complaint(outcome: Outcome) -> str:
    """What uv said, without the credentials that an index address may carry."""
    if outcome.timed_out:
        return f"It was ended after {outcome.seconds:.0f} s."
    said = outcome.stderr.strip() or outcome.stdout.strip() or f"exit code {outcome.exit_code}"
    return _CREDENTIALS.sub("//***@", said)


def is_unsatisfiable(outcome: Outcome) -> bool:
    """Whether the requirements contradict each other or the index (and the index was there)."""
    said = outcome.stderr
    return "No solution found" in said and "network was disabled" not in said


def is_hash_mismatch(outcome: Outcome) -> bool:
    """Whether the index served something else than the lock names."""
    return "Hash mismatch" in outcome.stderr


def _index(index: str | None) -> dict[str, str]:
    # The best match of all indexes: an extra index often holds stale copies of common packages.
    # Not as arguments: its address may hold a password, and everyone can read arguments.
    return {"UV_INDEX": index, "UV_INDEX_STRATEGY": "unsafe-best-match"} if index else {}
