"""The server's Dockerfile against what it is to package. It is built elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from pipeline import release_folder
from pipeline.resources import folder


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    text = (folder("serving") / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    words = (line.partition(" ") for line in joined.splitlines() if line.strip())
    return [(name, rest.strip()) for name, _, rest in words]


def values(instructions: list[tuple[str, str]], wanted: str) -> list[str]:
    return [rest for name, rest in instructions if name == wanted]


def test_every_image_comes_by_digest(instructions: list[tuple[str, str]]) -> None:
    (base,) = [arg for arg in values(instructions, "ARG") if arg.startswith("BASE=")]
    assert re.fullmatch(r"BASE=[\w./:-]+@sha256:[0-9a-f]{64}", base)
    assert all(image.split()[0] == "${BASE}" for image in values(instructions, "FROM"))


def test_it_takes_from_the_release_what_a_release_has(
    instructions: list[tuple[str, str]],
) -> None:
    has = {
        *("release.json", "settings.json", "manifest.yaml"),
        *(release_folder.LOCK, release_folder.SERVER, Path(release_folder.MODEL).parts[0]),
    }
    taken = set()
    for copy in values(instructions, "COPY"):
        if not copy.startswith("--from"):
            taken |= set(copy.split()[:-1])
    assert taken == has


def test_packages_come_by_hash_and_before_what_changes_more_often(
    instructions: list[tuple[str, str]],
) -> None:
    install = next(rest for _, rest in instructions if "pip" in rest and "install" in rest)
    assert {"--require-hashes", "--no-deps", "--only-binary"} <= set(install.split())
    order = [rest.split()[0] for name, rest in instructions if name == "COPY"]
    assert order.index(release_folder.LOCK) < order.index("server") < order.index("model")


def test_the_user_is_a_number_and_not_root(instructions: list[tuple[str, str]]) -> None:
    (user,) = values(instructions, "USER")
    assert int(user.split(":")[0]) > 0
    assert instructions.index(("USER", user)) > max(
        index for index, (name, _) in enumerate(instructions) if name in {"RUN", "COPY"}
    )


def test_the_entry_point_hands_over_and_passes_arguments_on(
    instructions: list[tuple[str, str]], tmp_path: Path
) -> None:
    (entry,) = values(instructions, "ENTRYPOINT")
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    python.chmod(0o755)
    environment = {"PATH": str(tmp_path), "MLIFECYCLE_RELEASE_DIGEST": "sha256:a b"}
    words = subprocess.run(
        [*json.loads(entry), "--extra"], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert words[:4] == ["-m", "serving", "--release", "/release"]
    assert words[-3:] == ["--release-digest", "sha256:a b", "--extra"]
