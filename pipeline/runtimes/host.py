"""Tools as programs on this machine: from the wheels that the project installs, or on PATH."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import anyio.to_thread

from pipeline.runtimes import process
from pipeline.runtimes.interface import (
    Input,
    Invocation,
    Outcome,
    ToolNotFound,
    version_question,
)

OUTPUT_LIMIT = 64 * 1024 * 1024  # bytes, for each of stdout, stderr and every output file
COPY_LIMIT = 32 * 1024 * 1024  # bytes, up to which an input is copied instead of linked
COPY_COUNT = 5000  # files in a folder, likewise

ALWAYS = ("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
ONLINE = ("HOME", "NETRC", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
ONLINE_PREFIXES = ("UV_", "PIP_")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")


class Host:
    """The `Runtime` without a container engine.

    A tool sees copies of its inputs (links, where they are large), a home folder of its own and
    few variables. A tool that uses the network also sees the user's home, for that is where its
    cache, index and credentials are configured, and the `UV_*`, `PIP_*` and proxy variables.

    The host cannot take the network away from a tool that was not granted it, nor write access
    to what is linked: the container runtime does both.
    """

    name = "host"

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._versions: dict[Path, str | None] = {}

    async def run(self, invocation: Invocation) -> Outcome:
        """Run the command in a temporary working folder. Raises ToolNotFound."""
        program = self.find(invocation.command)
        if program is None:
            raise ToolNotFound(invocation.tool, _remedy(invocation.command))
        began = time.monotonic()
        room = Path(tempfile.mkdtemp(prefix="mlifecycle-"))
        try:
            work = await anyio.to_thread.run_sync(_lay_out, room, invocation.inputs)
            for name in invocation.outputs:
                _inside(work, name).parent.mkdir(parents=True, exist_ok=True)
            ended = await process.run(
                [str(program), *invocation.arguments],
                cwd=work,
                environment=self._variables(invocation, program, room),
                timeout=invocation.timeout,
                limit=OUTPUT_LIMIT,
            )
            files, notes = await anyio.to_thread.run_sync(_collect, work, invocation.outputs)
            return Outcome(
                exit_code=ended.exit_code,
                stdout=ended.stdout.decode(errors="replace"),
                stderr="\n".join([ended.stderr.decode(errors="replace"), *notes]).strip("\n"),
                files=files,
                seconds=time.monotonic() - began,
                timed_out=ended.timed_out,
            )
        except OSError as error:
            # The program is there but cannot be started, or the disk is full.
            return Outcome(126, "", f"{program}: {error}", seconds=time.monotonic() - began)
        finally:
            shutil.rmtree(room, ignore_errors=True)

    async def version(self, tool: str) -> str | None:
        """From the metadata of the wheel that brought the program, else from `--version`."""
        program = self.find(tool)
        if program is None:
            return None
        if program not in self._versions:
            found = _version_from_wheel(program)
            if found is None:
                outcome = await self.run(version_question(tool, timeout=30))
                match = VERSION.search(outcome.stdout) or VERSION.search(outcome.stderr)
                found = match.group() if match and outcome.exit_code == 0 else None
            self._versions[program] = found
        return self._versions[program]

    def find(self, command: str) -> Path | None:
        """The program `command`: MLIFECYCLE_TOOLS, beside our Python, the scanners', PATH."""
        for folder in self._folders():
            candidate = folder.absolute() / command
            if candidate.is_file() and os.access(candidate, os.X_OK):
                return candidate
        return None

    def _folders(self) -> Iterator[Path]:
        yield from _path_list(self._environment.get("MLIFECYCLE_TOOLS", ""))
        yield Path(sys.prefix) / "bin"
        yield Path(sys.prefix) / "scanners" / "bin"
        yield from _path_list(self._environment.get("PATH", os.defpath))

    def _variables(self, invocation: Invocation, program: Path, room: Path) -> dict[str, str]:
        given = self._environment
        home, scratch = room / "home", room / "tmp"
        home.mkdir()
        scratch.mkdir()
        variables = {name: given[name] for name in ALWAYS if name in given}
        # Wheels bring helpers beside their program (semgrep's engine, for one).
        variables["PATH"] = os.pathsep.join([str(program.parent), given.get("PATH", os.defpath)])
        variables["HOME"] = str(home)
        variables["TMPDIR"] = str(scratch)
        if invocation.network:
            variables |= {
                name: value
                for name, value in given.items()
                if name in ONLINE or name.startswith(ONLINE_PREFIXES) or name.lower() in PROXIES
            }
        return variables | dict(invocation.environment)


def _remedy(command: str) -> str:
    return f"Run `mlifecycle doctor` to see what provides {command} and where it is looked for."


def _path_list(value: str) -> Iterator[Path]:
    return (Path(entry) for entry in value.split(os.pathsep) if entry)


def _inside(work: Path, name: str) -> Path:
    parts = PurePosixPath(name)
    if not name or parts.is_absolute() or ".." in parts.parts:
        raise ValueError(f"{name!r} does not name a place in the working folder")
    return work / parts


def _lay_out(room: Path, inputs: Mapping[str, Input]) -> Path:
    """Give the tool its inputs. Copies, because some tools do not follow links."""
    work = room / "work"
    work.mkdir()
    for name, source in inputs.items():
        if not isinstance(source, Path):
            raise TypeError(f"{name} is held by another runtime")
        place = _inside(work, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not _is_small(source):
            place.symlink_to(source.resolve())
        elif source.is_dir():
            shutil.copytree(source, place, symlinks=True, ignore=_special, dirs_exist_ok=True)
        else:
            shutil.copy2(source, place)
    return work


def _is_small(source: Path) -> bool:
    """Whether copying costs next to nothing; stops counting as soon as it would not."""
    if not source.is_dir():
        return source.stat().st_size <= COPY_LIMIT
    size = count = 0
    for folder, _, names in os.walk(source):
        for name in names:
            count += 1
            size += (Path(folder) / name).lstat().st_size
            if size > COPY_LIMIT or count > COPY_COUNT:
                return False
    return True


def _special(folder: str, names: list[str]) -> set[str]:
    """Pipes, sockets and devices: nothing to scan, and reading one may never end."""
    return {
        name
        for name in names
        if not stat.S_ISLNK(mode := (Path(folder) / name).lstat().st_mode)
        and not stat.S_ISDIR(mode)
        and not stat.S_ISREG(mode)
    }


def _collect(work: Path, names: tuple[str, ...]) -> tuple[dict[str, bytes], list[str]]:
    """The outputs that were written, and what to say about those that are refused."""
    files: dict[str, bytes] = {}
    notes: list[str] = []
    for name in names:
        path = _inside(work, name)
        if not path.is_file():
            continue
        if not path.resolve().is_relative_to(work.resolve()):
            notes.append(f"output {name} was refused: it links out of the working folder")
        elif path.stat().st_size > OUTPUT_LIMIT:
            notes.append(f"output {name} was refused: it is larger than {OUTPUT_LIMIT} bytes")
        else:
            files[name] = path.read_bytes()
    return files, notes


def _version_from_wheel(program: Path) -> str | None:
    """The version of the distribution whose RECORD lists the program."""
    environment = program.resolve().parent.parent
    for site in environment.glob("lib/python*/site-packages"):
        entry = os.path.relpath(program.resolve(), site) + ","
        records = site.glob("*.dist-info/RECORD")
        # The likely one first: reading them all takes a while where torch is installed.
        for record in sorted(records, key=lambda r: program.name not in r.parent.name):
            with record.open(encoding="utf-8", errors="replace") as lines:
                if any(line.startswith(entry) for line in lines):
                    return record.parent.name.removesuffix(".dist-info").rpartition("-")[2]
    return None
