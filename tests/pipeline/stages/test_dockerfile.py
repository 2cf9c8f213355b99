"""The server's Dockerfile against what it is to package. It is built elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from pipeline import release_folder
from pipeline.places.containers import release as image_release
from pipeline.places.containers.image import CERTIFICATES, NETRC
from pipeline.resources import folder
from pipeline.tools import uv
from serving.__main__ import RELEASE_DIGEST

Instruction = tuple[str, str]
TARGETS = image_release.TARGETS
CONFIGURED = "configured"
MODEL = "model"


@pytest.fixture(scope="module")
def instructions() -> list[Instruction]:
    text = (folder("serving") / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    words = (line.partition(" ") for line in joined.splitlines() if line.strip())
    return [(name, rest.strip()) for name, _, rest in words]


@pytest.fixture(scope="module")
def stages(instructions: list[Instruction]) -> dict[str, list[Instruction]]:
    """The instructions of each stage by the stage's name."""
    found: dict[str, list[Instruction]] = {}
    for name, rest in instructions:
        if name == "FROM":
            found[rest.split(" AS ")[1]] = []
        if found:
            list(found.values())[-1].append((name, rest))
    return found


@pytest.fixture(scope="module", params=list(TARGETS.values()))
def target(request: pytest.FixtureRequest) -> str:
    """A stage whose result is an image."""
    return str(request.param)


@pytest.fixture(scope="module")
def final(stages: dict[str, list[Instruction]], target: str) -> list[Instruction]:
    """How an image is run, and what is in it."""
    assert stages[target][0] == ("FROM", f"{CONFIGURED} AS {target}")
    return [*stages[CONFIGURED], *stages[target][1:]]


def values(instructions: list[Instruction], wanted: str) -> list[str]:
    return [rest for name, rest in instructions if name == wanted]


def test_every_image_comes_by_digest_and_can_be_another(instructions: list[Instruction]) -> None:
    images = [arg for arg in values(instructions, "ARG") if re.match("(BASE|UV)=", arg)]
    assert len(images) == 2
    assert all(re.fullmatch(r"\w+=[\w./:-]+@sha256:[0-9a-f]{64}", image) for image in images)
    sources = {rest.split()[0] for rest in values(instructions, "FROM")}
    assert sources == {"${BASE}", "${UV}", "scratch", CONFIGURED}


def test_it_takes_from_the_release_what_a_release_has(instructions: list[Instruction]) -> None:
    has = {
        *("release.json", "settings.json", "manifest.yaml"),
        *(release_folder.LOCK, release_folder.SERVER, MODEL),
    }
    taken = set()
    for copy in values(instructions, "COPY"):
        if not copy.startswith("--from"):
            taken |= set(copy.split()[:-1])
    assert taken == has


def test_packages_are_installed_as_on_a_host(stages: dict[str, list[Instruction]]) -> None:
    steps = stages["environment"]
    install = next(rest for rest in values(steps, "RUN") if "uv pip sync" in rest)
    assert set(uv.INSTALL_OPTIONS) <= set(install.split())
    assert "PYC_INVALIDATION_MODE=UNCHECKED_HASH" in values(steps, "ENV")[0].split()
    created = next(rest for rest in values(steps, "RUN") if "uv venv" in rest)
    assert set(uv.VENV_OPTIONS) <= set(created.split())


def test_an_environment_is_made_before_any_source_is_looked_at(
    stages: dict[str, list[Instruction]],
) -> None:
    taken = [copy for copy in values(stages["environment"], "COPY") if "--from" not in copy]
    assert [copy.split()[0] for copy in taken] == [release_folder.LOCK]


def test_the_password_of_an_index_is_a_secret(stages: dict[str, list[Instruction]]) -> None:
    secret = re.compile("--mount=type=secret,id=([a-z-]+)")
    install = next(rest for rest in values(stages["environment"], "RUN") if secret.search(rest))
    names = secret.findall(install)
    assert names == [NETRC, CERTIFICATES]
    arguments = {arg.partition("=")[0] for arg in values(stages["environment"], "ARG")}
    assert {"PACKAGE_INDEX", "TORCH_INDEX"} <= arguments


def test_what_changes_most_seldom_comes_first(final: list[Instruction], target: str) -> None:
    copied = values(final, "COPY")
    environment = "onnx-environment" if target == "onnx" else "environment"
    assert copied == [
        f"--from={stage} /image /" for stage in ("interpreter", environment, "server", "release")
    ]


def test_the_onnx_image_cannot_have_torch(stages: dict[str, list[Instruction]]) -> None:
    (checked,) = values(stages["onnx-environment"], "RUN")
    assert checked.index('[ -e "$site/torch" ]') < checked.index("exit 1")
    assert values(stages["onnx-environment"], "COPY") == ["--from=environment /image /image"]


def test_the_targets_differ_in_their_environment_alone(
    stages: dict[str, list[Instruction]],
) -> None:
    torch, onnx = (stages[target][1:] for target in ("torch-cpu", "onnx"))
    assert [
        (name, rest.replace("--from=onnx-environment ", "--from=environment "))
        for name, rest in onnx
    ] == torch


def test_a_model_changes_the_last_layer_alone(
    stages: dict[str, list[Instruction]], target: str
) -> None:
    changing = {"RELEASE_DIGEST", "MODEL_NAME", "MODEL_VERSION", "LANE", "BATCHING"}
    for stage in ("interpreter", "environment", "onnx-environment", "server", CONFIGURED):
        assert MODEL not in {
            word for copy in values(stages[stage], "COPY") for word in copy.split()
        }
    for name, steps in stages.items():
        arguments = {arg.partition("=")[0] for arg in values(steps, "ARG")}
        assert not arguments & changing or name in TARGETS.values()
    names = [name for name, _ in stages[target]]
    last = max(index for index, name in enumerate(names) if name == "COPY")
    assert {"COPY", "ADD", "RUN", "WORKDIR"}.isdisjoint(names[last + 1 :])


def test_nothing_that_is_copied_into_the_image_has_a_time_of_its_own(
    stages: dict[str, list[Instruction]], target: str
) -> None:
    for copy in values(stages[target], "COPY"):
        stage = copy.removeprefix("--from=").split()[0]
        last = stages[stage][-1]
        assert last[0] == "RUN"
        assert last[1].endswith('find /image -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +')
        assert "SOURCE_DATE_EPOCH=0" in values(stages[stage], "ARG")


def test_the_image_runs_nothing_while_it_is_put_together(final: list[Instruction]) -> None:
    assert not values(final, "RUN")
    assert values(final, "FROM") == [f"scratch AS {CONFIGURED}"]


def test_the_user_is_a_number_and_not_root(final: list[Instruction]) -> None:
    (user,) = values(final, "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_python_is_started_without_a_shell(final: list[Instruction]) -> None:
    entry = json.loads(values(final, "ENTRYPOINT")[0])
    assert entry[0] == "/environment/bin/python"
    assert entry[entry.index("-m") + 1] == "serving"
    assert entry[entry.index("--release") + 1] == "/release"
    assert values(final, "STOPSIGNAL") == ["SIGTERM"]


def test_the_server_is_told_its_release_by_the_environment(final: list[Instruction]) -> None:
    assert f"{RELEASE_DIGEST}=${{RELEASE_DIGEST}}" in values(final, "ENV")


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_health_check_asks_the_server(
    status: int | None, healthy: bool, final: list[Instruction]
) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status or 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    command = json.loads(values(final, "HEALTHCHECK")[0].partition(" CMD ")[2])
    assert command[0] == "/environment/bin/python"
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f":{server.server_port if status else 1}/"
        words = [word.replace(":8000/", address) for word in command[1:]]
        done = subprocess.run([sys.executable, *words], capture_output=True, check=False)
        server.shutdown()
    assert (done.returncode == 0) is healthy
