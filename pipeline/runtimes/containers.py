"""Tools in containers of a Dagger engine, each from an image that is named by its digest."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import anyio
import dagger
from dagger import dag

from pipeline import digest, resources
from pipeline.runtimes.interface import (
    Input,
    Invocation,
    Outcome,
    ToolNotFound,
    version_question,
)
from pipeline.tools import uv
from pipeline.tools.images import Images
from pipeline.tools.interface import ToolImage

WORK = PurePosixPath("/work")
SCANNERS = PurePosixPath("/opt/scanners")
OUTPUT_LIMIT = 64 * 1024 * 1024  # bytes, for every output file
# Minutes for which the answer of a service holds: the engine keeps what a step printed for as long
# as its inputs are the same, and what a service knows is none of them.
SERVICE_MINUTES = 10

# What the engine adds to its messages for its own tracing.
_TRACE = re.compile(r"\s*\[traceparent:[^\]]*\]")
VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")
CERTIFICATES = "/etc/ssl/certs/mlifecycle-ca.pem"
NETRC = "/run/secrets/netrc"
TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file in the engine."""

    file: dagger.File
    digest: str


@dataclass(frozen=True, slots=True)
class HeldFolder:
    """A folder in the engine."""

    folder: dagger.Directory
    digest: str


class Upload:
    """Brings files of this process's machine into the engine.

    A program with a session hands over any path (`module` false). A function in the engine has its
    own sources there already, and may only hand over what lies in its working folder: what lies
    elsewhere is copied there first.
    """

    def __init__(self, *, module: bool) -> None:
        self.module = module
        self._here = Path.cwd()
        # Scanners start at the same time, and ask for the same folder.
        self._lock = anyio.Lock()
        self._sent: dict[str, dagger.Directory] = {}

    async def file(self, path: Path) -> dagger.File:
        """The file at `path`."""
        name = await anyio.to_thread.run_sync(digest.of_file, path)
        key = f"{name} {path.name}"
        async with self._lock:
            if key not in self._sent:
                self._sent[key] = await self._folder(path.parent, key, path.name)
        return self._sent[key].file(path.name)

    async def folder(self, path: Path) -> dagger.Directory:
        """The folder at `path` with all that is below it, without interpreter caches."""
        name = await anyio.to_thread.run_sync(digest.of_folder, path)
        async with self._lock:
            if name not in self._sent:
                self._sent[name] = await self._folder(path, name, None)
        return self._sent[name]

    async def _folder(self, path: Path, name: str, only: str | None) -> dagger.Directory:
        include, exclude = ([only] if only else None), ["**/__pycache__"]
        place = path.resolve()  # noqa: ASYNC240 - a local path, resolved at once
        if not self.module:
            return dag.host().directory(str(place), include=include, exclude=exclude)
        ours = resources.package().parent
        if place.is_relative_to(ours):
            source = dag.current_module().source().directory(place.relative_to(ours).as_posix())
            return source.filter(include=include, exclude=exclude)
        here = self._here
        if not place.is_relative_to(here):
            copy = here / "uploads" / digest.short(digest.of_bytes(name.encode()))
            await anyio.to_thread.run_sync(_copy, place, copy, only)
            place = copy
        return dag.current_module().workdir(
            place.relative_to(here).as_posix(), include=include, exclude=exclude
        )


def _copy(source: Path, target: Path, only: str | None) -> None:
    if target.exists():
        return
    if only is None:
        shutil.copytree(source, target, symlinks=True)
    else:
        target.mkdir(parents=True)
        shutil.copy2(source / only, target / only)


@dataclass
class Containers:
    """The `Runtime` on a Dagger engine.

    A tool sees its inputs below `/work`, mounted, and an empty `/tmp`; what it writes goes with
    its container, but for the outputs that are asked for. It runs as the container's root,
    because public images disagree about their user and outputs must be written. The engine gives
    every container the network, also to a tool that was not granted it; no secret is in one.

    `package_index` is where the scanners without an image are installed from, and `netrc` holds
    what it asks for: only installations see it.
    """

    images: Images
    upload: Upload
    package_index: str | None = None
    certificates: dagger.File | None = None
    netrc: dagger.Secret | None = None
    name: str = field(default="containers", init=False)
    _versions: dict[str, str | None] = field(default_factory=dict, init=False)

    async def run(self, invocation: Invocation) -> Outcome:
        """Run the command in its container. Raises ToolNotFound."""
        image = self._image(invocation.tool, invocation.command)
        container, program = await self._with_program(invocation.command, image)
        reference = image.reference if image else self.images.python.reference
        return await self._run(container, program, invocation, reference)

    async def run_in(
        self, container: dagger.Container, program: str, invocation: Invocation
    ) -> Outcome:
        """Run it with `program` of a container of one's own, whatever its command is."""
        reference = self.images.python.reference
        return await self._run(container, program, invocation, reference)

    async def _run(
        self, container: dagger.Container, program: str, invocation: Invocation, reference: str
    ) -> Outcome:
        began = time.monotonic()
        with anyio.move_on_after(invocation.timeout):
            try:
                ready = await self._laid_out(container, program, invocation)
                outcome = await _carried_out(ready, invocation)
            except dagger.QueryError as error:
                return _not_started(invocation, reference, error, time.monotonic() - began)
            return Outcome(
                outcome.exit_code,
                outcome.stdout,
                outcome.stderr,
                outcome.files,
                time.monotonic() - began,
            )
        return Outcome(-9, "", "", seconds=time.monotonic() - began, timed_out=True)

    async def version(self, tool: str) -> str | None:
        """What the program in the image says of itself; None when it cannot be had."""
        if tool not in self._versions:
            found = None
            with suppress(ToolNotFound):
                outcome = await self.run(version_question(tool, timeout=300))
                said = VERSION.search(outcome.stdout) or VERSION.search(outcome.stderr)
                found = said.group() if said and outcome.exit_code == 0 else None
            self._versions[tool] = found
        return self._versions[tool]

    def with_uv(self) -> dagger.Container:
        """The Python base image with uv in it, set to the package index."""
        uv = dag.container().from_(self.images.uv.reference).file(self.images.uv.program)
        container = (
            self.trusting(dag.container().from_(self.images.python.reference))
            .with_user("0")
            .with_file("/usr/local/bin/uv", uv, permissions=0o755)
            .with_mounted_cache("/root/.cache/uv", dag.cache_volume("mlifecycle-uv"))
            .with_env_variable("UV_LINK_MODE", "copy")
            # Else every run of what is installed would compile it anew.
            .with_env_variable("UV_COMPILE_BYTECODE", "1")
            .with_env_variable("UV_PYTHON_DOWNLOADS", "never")
            .with_env_variable("UV_NATIVE_TLS", "1")
        )
        if self.package_index is not None:
            container = container.with_env_variable("UV_DEFAULT_INDEX", self.package_index)
        if self.netrc is not None:
            container = container.with_mounted_secret(NETRC, self.netrc).with_env_variable(
                "NETRC", NETRC
            )
        return container

    def trusting(self, container: dagger.Container) -> dagger.Container:
        """The container with the caller's certificates, if there are any."""
        if self.certificates is None:
            return container
        container = container.with_mounted_file(CERTIFICATES, self.certificates)
        for name in TRUST:
            container = container.with_env_variable(name, CERTIFICATES)
        return container

    async def installed(
        self, requirements: str, place: PurePosixPath, index: str | None = None
    ) -> dagger.Container:
        """Python with the hash lock `requirements/NAME` installed at `place`.

        `index` is one beside the package index; the best match of both is taken.
        """
        lock = await self.upload.file(resources.folder("requirements") / requirements)
        wanted = f"/requirements/{requirements}"
        container = self.with_uv()
        if index is not None:
            container = container.with_env_variable("UV_INDEX", index)
            container = container.with_env_variable("UV_INDEX_STRATEGY", "unsafe-best-match")
        container = (
            container.with_mounted_file(wanted, lock)
            .with_exec(["uv", "venv", "--quiet", str(place)])
            .with_env_variable("VIRTUAL_ENV", str(place))
            .with_exec(["uv", "pip", "install", "--quiet", "--require-hashes", "-r", wanted])
            .without_mount(wanted)
        )
        return container if self.netrc is None else container.without_mount(NETRC)

    def _image(self, tool: str, command: str) -> ToolImage | None:
        try:
            return self.images.of(command)
        except KeyError:
            raise ToolNotFound(tool, f"No image is known for {command}.") from None

    async def _with_program(
        self, command: str, image: ToolImage | None
    ) -> tuple[dagger.Container, str]:
        """A container that has the command, and what it is called there."""
        if command == "uv":
            return self.with_uv(), "uv"
        if image is None:
            container = await self.installed("scanners.txt", SCANNERS)
            container = container.with_env_variable(
                "PATH", f"{SCANNERS}/bin:${{PATH}}", expand=True
            )
            return container, str(SCANNERS / "bin" / command)
        container = self.trusting(dag.container().from_(image.reference)).with_user("0")
        return container, image.program

    async def _laid_out(
        self, container: dagger.Container, program: str, call: Invocation
    ) -> dagger.Container:
        container = container.with_mounted_temp("/tmp").with_workdir(str(WORK))  # noqa: S108
        container = container.with_env_variable("HOME", "/tmp")  # noqa: S108
        # A folder must be there to be written into, and a mount may be all there is of it.
        for parent in {str(PurePosixPath(name).parent) for name in call.outputs} - {"."}:
            container = container.with_directory(str(WORK / parent), dag.directory())
        for name in sorted(call.inputs):
            container = await self._mounted(container, str(WORK / name), call.inputs[name])
        for variable in sorted(call.environment):
            container = container.with_env_variable(variable, call.environment[variable])
        if call.dated:
            container = container.with_env_variable("MLIFECYCLE_DAY", slot(24 * 60))
        if call.network:
            container = container.with_env_variable("MLIFECYCLE_ASKED", slot(SERVICE_MINUTES))
        return container.with_exec([program, *call.arguments], expect=dagger.ReturnType.ANY)

    async def _mounted(
        self, container: dagger.Container, place: str, given: Input
    ) -> dagger.Container:
        match given:
            case HeldFile():
                return container.with_mounted_file(place, given.file)
            case HeldFolder():
                return container.with_mounted_directory(place, given.folder)
            case Path() if given.is_dir():
                return container.with_mounted_directory(place, await self.upload.folder(given))
            case Path():
                return container.with_mounted_file(place, await self.upload.file(given))
        raise TypeError(f"{place} is held by another runtime")


def _not_started(
    call: Invocation, reference: str, error: dagger.QueryError, seconds: float
) -> Outcome:
    """The engine could not run it: its image is out of reach, or holds no such program."""
    said = said_by(error)
    if any(sign in str(error) for sign in _UNREACHABLE):
        raise ToolNotFound(
            call.tool,
            f"Its image {reference} cannot be had: {said} Name one that this engine reaches in "
            "a file for --images.",
        ) from None
    return Outcome(126, "", f"{call.command} cannot be started: {said}", seconds=seconds)


# How the engine says that an image could not be fetched.
_UNREACHABLE = (
    "failed to resolve",
    "failed to fetch",
    "pull access",
    "not found: ",
    "manifest unknown",
)


def slot(minutes: int) -> str:
    """A name for now that holds for up to `minutes`: what was kept under it ends with it."""
    now = datetime.now(UTC)
    return f"{now:%Y-%m-%d} {(now.hour * 60 + now.minute) // minutes} of {minutes} min"


def said_by(error: Exception) -> str:
    """The engine's message on one line, with what a step printed that failed."""
    said = _TRACE.sub("", str(error))
    if isinstance(error, dagger.ExecError):
        said += f": {uv.complaint(Outcome(error.exit_code, error.stdout, error.stderr))}"
    return " ".join(said.split())[:600].rstrip(".") + "."


async def _carried_out(container: dagger.Container, call: Invocation) -> Outcome:
    try:
        code = await container.exit_code()
    except dagger.ExecError as error:
        # An end by a signal is an error to the engine; to us it is an exit code like any other.
        return Outcome(error.exit_code, error.stdout, error.stderr)
    files, notes = await _collected(container, call.outputs)
    stderr = "\n".join([await container.stderr(), *notes]).strip("\n")
    return Outcome(code, await container.stdout(), stderr, files)


async def _collected(
    container: dagger.Container, names: tuple[str, ...]
) -> tuple[Mapping[str, bytes], list[str]]:
    """The outputs that were written, and what to say about those that are refused."""
    files: dict[str, bytes] = {}
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mlifecycle-out-") as room:
        for name in names:
            place = str(WORK / name)
            if not await container.exists(place):
                continue
            file = container.file(place)
            if await file.size() > OUTPUT_LIMIT:
                notes.append(f"output {name} was refused: it is larger than {OUTPUT_LIMIT} bytes")
                continue
            target = Path(room) / "output"
            await file.export(str(target))
            files[name] = target.read_bytes()
    return files, notes
