"""The commands of `docs/dagger.md` do what stands there, on the small module.

A block of commands is run when `<!-- run -->` stands before it. `<!-- run: 1 -->` names the exit
code that each of its commands ends with, and `<!-- run: up -->` marks a service that is asked and
then ended. The tests' images, registry and a catalog of their own are put in.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_module
from calls import EXAMPLES, REPOSITORY, dagger, images, registry

from pipeline import Mlifecycle

PAGE = REPOSITORY / "docs" / "dagger.md"
BLOCK = re.compile(r"^<!-- run(?:: (\S+))? -->\n```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PUBLIC = "ghcr.io/acme-bank"
READY = 300  # seconds

Marked = tuple[str, list[str]]


def marked() -> Iterator[Marked]:
    """Each command to be run, as words, and how it is to end."""
    for ending, block in BLOCK.findall(PAGE.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            prompt, command, *words = shlex.split(line, comments=True)
            assert (prompt, command) == ("$", "dagger"), line
            yield ending or "0", words


def named(entry: Marked) -> str:
    return " ".join(entry[1]).replace("/", "-")


COMMANDS = [entry for entry in marked() if entry[0] != "up"]
SERVICES = [words for ending, words in marked() if ending == "up"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small module with the examples that are denied or broken."""
    folder = small_module.make(tmp_path_factory.mktemp("checkout"))
    shutil.copytree(EXAMPLES / "invalid", folder / "examples" / "invalid")
    return folder


def ours(words: list[str]) -> list[str]:
    """The words with what is the tests' own in the place of what is public."""
    assert words[0] == "call"
    words = ["call", *images(), "--catalog", "env:TRACKING", *words[1:]]
    if any(word.startswith(PUBLIC) for word in words):
        if "MLIFECYCLE_TEST_REGISTRY" not in os.environ:
            pytest.skip("there is no registry of the tests' own")
        words = [word.replace(PUBLIC, registry("docs")) for word in words]
    return words


CATALOG = {"TRACKING": "sqlite:////tmp/catalog.db"}


@pytest.mark.parametrize("entry", COMMANDS, ids=named)
def test_a_command_ends_as_it_says(entry: Marked, checkout: Path) -> None:
    ending, words = entry
    done = dagger(checkout, *ours(words), **CATALOG)
    assert done.returncode == int(ending), done.stdout + done.stderr
    if ending != "0":
        assert "FunctionError" in done.stderr
    elif "-o" in words:
        written = checkout / words[words.index("-o") + 1]
        assert written.stat().st_size
    elif "manifests" not in words:
        # An object that nothing is asked of prints its type and an identifier.
        assert re.fullmatch(r"(?!Mlifecycle\w*@).+", done.stdout, re.DOTALL)


@pytest.mark.parametrize("words", SERVICES, ids=" ".join)
def test_a_service_answers_until_it_is_ended(words: list[str], checkout: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [word.replace("8080:", f"{port}:") for word in ours(words)]
    program = os.environ["_EXPERIMENTAL_DAGGER_CLI_BIN"]
    with subprocess.Popen(
        [program, *words],
        cwd=checkout,
        env=os.environ | CATALOG,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as served:
        try:
            assert answers(f"http://127.0.0.1:{port}/ready", served)
        finally:
            served.send_signal(signal.SIGINT)
            served.wait(60)


def answers(url: str, served: subprocess.Popen[bytes]) -> bool:
    """Whether the address gives an answer before the command that serves it ends."""
    until = time.monotonic() + READY
    while served.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    return False


def test_every_function_has_a_command() -> None:
    functions = {
        name.replace("_", "-")
        for name, _ in inspect.getmembers(Mlifecycle, inspect.iscoroutinefunction)
    }
    called = {word for _, words in marked() for word in words}
    assert "deploy" in functions
    assert functions <= called
