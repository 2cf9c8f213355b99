"""The tests' engine does what the tests rely on: the variables of `up.sh` say where it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent

pytestmark = pytest.mark.skipif(
    "MLIFECYCLE_TEST_ENGINE" not in os.environ, reason="tests/system/engine/up.sh did not start it"
)

# How each tool says its version, and how that version begins. Tools without a program of their own
# in their image's entry point are named.
VERSIONS = {
    "bandit": (["bandit", "--version"], "bandit 1."),
    "cosign": (["version"], "cosign"),
    "crane": (["version"], "0."),
    "detect-secrets": (["detect-secrets", "--version"], "1."),
    "dockle": (["--version"], "dockle version 0."),
    "gitleaks": (["version"], "8."),
    "grype": (["version"], "grype"),
    "hadolint": (["/bin/hadolint", "--version"], "Haskell Dockerfile Linter 2."),
    "kubeconform": (["-v"], "0."),
    "kustomize": (["version"], "5."),
    "opa": (["version"], "Version: 1."),
    "pip-audit": (["pip-audit", "--version"], "pip-audit 2."),
    "python": (["python", "--version"], "Python 3.11."),
    "safety": (["safety", "--version"], "3."),
    "semgrep": (["semgrep", "--disable-version-check", "--version"], "1."),
    "syft": (["version"], "syft"),
    "trivy": (["--version"], "Version: 0."),
    "uv": (["--version"], "uv 0."),
}

VARIABLES = ("MLIFECYCLE_TEST_ENGINE", "_EXPERIMENTAL_DAGGER_RUNNER_HOST")

DOCKERFILE = """\
ARG BASE
FROM ${BASE} AS environment
RUN ["python", "-m", "venv", "--without-pip", "/environment"]
RUN ["python", "-m", "pip", "--python", "/environment/bin/python", "install", "six==1.17.0"]
FROM ${BASE}
COPY --from=environment /environment /environment
RUN ["/environment/bin/python", "-c", "import six"]
USER 10001:10001
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("module") / "probe"
    shutil.copytree(HERE / "example", folder)
    return folder


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    images: dict[str, str] = json.loads(Path(os.environ["MLIFECYCLE_TEST_IMAGES"]).read_text())
    return images


def call(module: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [os.environ["_EXPERIMENTAL_DAGGER_CLI_BIN"], "call", *map(str, arguments)]
    return subprocess.run(
        command, cwd=module, capture_output=True, text=True, timeout=600, check=False
    )


def answer(module: Path, *arguments: str | Path) -> str:
    done = call(module, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(module: Path, tmp_path: Path, commands: list[dict[str, object]]) -> dict[str, str]:
    file = tmp_path / "commands.json"
    file.write_text(json.dumps(commands))
    printed: dict[str, str] = json.loads(answer(module, "run", "--commands", file))
    return printed


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not true():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.2)


def sleeping() -> bool:
    """Whether the container's process of the last test lives, as this machine sees it."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if line.read_bytes() == b"sleep\x003571\x00":
                return True
        except OSError:
            continue
    return False


def test_a_function_answers(module: Path) -> None:
    assert answer(module, "hello", "--name", "world") == "hello world"


def test_a_folder_of_the_caller_is_seen(module: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert answer(module, "entries", "--source", tmp_path).split() == ["a.txt"]


def test_every_tool_runs_in_its_image(module: Path, tmp_path: Path, images: dict[str, str]) -> None:
    assert set(images) == set(VERSIONS)
    commands = [
        {"name": name, "image": images[name], "arguments": arguments}
        for name, (arguments, _) in VERSIONS.items()
    ]
    printed = run(module, tmp_path, commands)
    unlike = {
        name: printed[name] for name, (_, says) in VERSIONS.items() if says not in printed[name]
    }
    assert not unlike


def test_a_dockerfile_is_built_from_the_package_index(
    module: Path, tmp_path: Path, images: dict[str, str]
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "Dockerfile").write_text(DOCKERFILE)
    tarball = tmp_path / "image.tar"
    answer(
        module, "build", "--base", images["python"], "--source", tmp_path / "source", "-o", tarball
    )
    with tarfile.open(tarball) as tar:
        assert "index.json" in tar.getnames()


def test_an_image_is_published_under_its_digest(module: Path, images: dict[str, str]) -> None:
    address = f"{os.environ['MLIFECYCLE_TEST_REGISTRY']}/made/by:test"
    first = answer(module, "publish", "--base", images["python"], "--address", address)
    assert first.startswith(f"{address}@sha256:")
    assert answer(module, "publish", "--base", images["python"], "--address", address) == first


def test_containers_reach_a_bound_service(module: Path, images: dict[str, str]) -> None:
    assert answer(module, "serve", "--base", images["python"]).strip() == "200"


def test_a_raised_error_is_the_message(module: Path) -> None:
    done = call(module, "refuse")
    assert done.returncode == 1
    assert "Error: FunctionError: the policy refused the deployment" in done.stderr


def test_a_container_that_fails_gives_its_exit_code(module: Path, images: dict[str, str]) -> None:
    assert call(module, "fail-in-container", "--base", images["python"]).returncode == 7


def test_a_tampered_lock_is_refused(module: Path, tmp_path: Path) -> None:
    tampered = tmp_path / "probe"
    shutil.copytree(module, tampered)
    lock = (tampered / "requirements.lock").read_text()
    first = lock.split("# via")[0]
    tampered_first = re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", first)
    (tampered / "requirements.lock").write_text(lock.replace(first, tampered_first))
    done = call(tampered, "hello", "--name", "world")
    assert done.returncode != 0
    assert "Hash mismatch" in done.stderr


def test_two_calls_at_once(module: Path) -> None:
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(answer, module, "hello", "--name", name) for name in ("one", "two")]
    assert [each.result() for each in calls] == ["hello one", "hello two"]


def start(name: str) -> dict[str, str]:
    """Start an engine of this name; the variables that lead to it."""
    lines = subprocess.run([HERE / "up.sh", name], check=True, capture_output=True, text=True)
    printed = "printf '%s\\0' " + " ".join(f'"{word}=${word}"' for word in VARIABLES)
    shell = ["/bin/bash", "-c", f"{lines.stdout}\n{printed}"]
    values = subprocess.run(shell, check=True, capture_output=True, text=True).stdout
    return dict(pair.split("=", 1) for pair in values.split("\0") if pair)


def test_a_killed_engine_leaves_nothing_and_comes_back(
    module: Path, tmp_path: Path, images: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # One of its own: a killed engine drops what it had cached.
    try:
        for name, value in start("killed").items():
            monkeypatch.setenv(name, value)
        commands = tmp_path / "commands.json"
        sleep = {"name": "sleep", "image": images["python"], "arguments": ["sleep", "3571"]}
        commands.write_text(json.dumps([sleep]))
        client = subprocess.Popen(
            [os.environ["_EXPERIMENTAL_DAGGER_CLI_BIN"], "call", "run", "--commands", commands],
            cwd=module,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(sleeping)
            engine = int((Path(os.environ["MLIFECYCLE_TEST_ENGINE"]) / "engine.pid").read_text())
            os.kill(engine, signal.SIGKILL)
            wait_until(lambda: not sleeping())
        finally:
            client.kill()
            client.wait()
        start("killed")
        assert answer(module, "hello", "--name", "again") == "hello again"
    finally:
        subprocess.run([HERE / "down.sh", "killed", "--purge"], check=True)
