"""Environments: a lock installed, once, under a name that says what is in it.

Releases with the same lock share one. It appears under its name when it is complete; until then
it grows beside it, and whoever comes next removes what a killed command left there.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread
from packaging import tags

from pipeline import digest, inventory, seal
from pipeline.errors import EnvironmentFailed
from pipeline.exclusive import exclusively
from pipeline.inventory import Inventory
from pipeline.lockfile import Lock
from pipeline.places.interface import Refused
from pipeline.progress import Progress
from pipeline.runtimes.interface import Invocation, Outcome, Runtime, ToolNotFound
from pipeline.state import State, write_atomically
from pipeline.tools import uv

WAIT = 3600.0  # seconds: another command may be installing several gigabytes


@dataclass(frozen=True, slots=True)
class Installation:
    """An environment that is complete. `digest` names what it was made from."""

    folder: Path
    digest: str
    inventory: Inventory
    reused: bool


def identity(lock: Lock) -> str:
    """The digest of everything that shapes an environment."""
    return digest.of_json(
        {
            "lock": lock.digest,
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "platform": str(next(tags.sys_tags())),
            "options": [*uv.VENV_OPTIONS, *uv.INSTALL_OPTIONS],
        }
    )


async def install(
    runtime: Runtime, state: State, lock: Lock, progress: Progress, *, index: str | None
) -> Installation:
    """The environment of `lock`, made if need be.

    Raises Refused when the lock and the index disagree, EnvironmentFailed when it cannot be made.
    """
    name = identity(lock)
    place = state.environments / name.removeprefix("sha256:")
    guard = state.root / "locks" / f"environment-{digest.short(name)}"
    async with exclusively(guard, wait=WAIT, on_wait=progress.step):
        found = await anyio.to_thread.run_sync(existing, place)
        if found is not None:
            return Installation(place, name, found, reused=True)
        await anyio.to_thread.run_sync(_clear, place)
        progress.step(f"installing {len(lock.active)} packages")
        state.environments.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=state.environments))
        try:
            listed = await _make(runtime, room, lock, index)
            write_atomically(inventory_of(place), listed.to_bytes())
            (room / "environment").rename(place)
            await anyio.to_thread.run_sync(seal.put, place)
        except OSError as error:
            raise EnvironmentFailed(
                f"The environment could not be written to {state.environments}: {error}.",
                "Free some space, or move the state folder with --state.",
            ) from error
        finally:
            await anyio.to_thread.run_sync(_remove, room)
        return Installation(place, name, listed, reused=False)


def existing(place: Path) -> Inventory | None:
    """The inventory of the environment at `place`, if it is whole and as it was made."""
    try:
        recorded = Inventory.from_bytes(inventory_of(place).read_bytes())
    except (OSError, ValueError):
        return None
    # The link ends at the Python it was made with, which may have been removed since.
    if not (place / "bin" / "python").is_file():
        return None
    return recorded if seal.holds(place) and inventory.of(place) == recorded else None


def inventory_of(place: Path) -> Path:
    """Where the inventory of the environment at `place` lies: beside it."""
    return place.with_name(f"{place.name}.inventory.json")


async def _make(runtime: Runtime, room: Path, lock: Lock, index: str | None) -> Inventory:
    environment = room / "environment"
    await _call(runtime, uv.create(environment, python=Path(sys.executable)))
    with tempfile.TemporaryDirectory(prefix="mlifecycle-") as folder:
        source = Path(folder) / uv.LOCK
        source.write_bytes(lock.data)
        await _call(runtime, uv.install(environment, source, index=index))
    await _call(runtime, uv.check(environment))
    return await anyio.to_thread.run_sync(inventory.of, environment)


async def _call(runtime: Runtime, call: Invocation) -> Outcome:
    try:
        outcome = await runtime.run(call)
    except ToolNotFound as error:
        raise EnvironmentFailed(str(error)) from error
    if outcome.exit_code == 0 and not outcome.timed_out:
        return outcome
    said = uv.complaint(outcome)
    if uv.is_hash_mismatch(outcome):
        raise Refused("BLD-ENV-001", said)
    if call.arguments[:2] == ("pip", "check"):
        raise Refused("BLD-ENV-002", said)
    raise EnvironmentFailed(
        f"The release's environment could not be made: {said}",
        "Check the package index, the network and the free space of the state folder.",
    )


def _clear(place: Path) -> None:
    """Remove what is under the name but not whole, and what killed commands left beside it."""
    for path in [place, *place.parent.glob(f".{place.name}.*")]:
        _remove(path)
    inventory_of(place).unlink(missing_ok=True)
    seal.place_of(place).unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
