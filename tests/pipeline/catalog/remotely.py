"""The catalog that asks the program, called as the pipeline calls it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread

from pipeline.catalog.__main__ import run
from pipeline.catalog.interface import Catalog
from pipeline.catalog.remote import Call, RemoteCatalog


class _InThread:
    """Runs every method in a worker thread of an event loop."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._catalog, name)
        return lambda *given: anyio.run(anyio.to_thread.run_sync, lambda: method(*given))


def asking(call: Call) -> Catalog:
    """A catalog behind `call`, for tests that have no event loop."""
    return cast("Catalog", _InThread(RemoteCatalog(call)))


def here(state: Path, folder: Path) -> Call:
    """The program in this process, which has MLflow imported already; its files go to `folder`."""

    async def call(arguments: Sequence[str], files: Mapping[str, str]) -> tuple[int, str]:
        for name, content in files.items():
            (folder / name).write_text(content)
        placed = [argument.replace("--event=", f"--event={folder}/") for argument in arguments]
        return run([f"--state={state}", *placed])

    return call


def apart(state: Path, folder: Path) -> Call:
    """The program in a process of its own, with `folder` for its working folder."""

    async def call(arguments: Sequence[str], files: Mapping[str, str]) -> tuple[int, str]:
        for name, content in files.items():
            (folder / name).write_text(content)
        command = [sys.executable, "-m", "pipeline.catalog", f"--state={state}", *arguments]
        done = await anyio.run_process(command, cwd=folder, check=False)
        return done.returncode, done.stdout.decode()

    return call
