"""Modules of others build on this one: `examples/consumer` in Python, `examples/consumer-dang`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import small_module
from calls import (
    EXAMPLES,
    REPOSITORY,
    dagger,
    images,
    needs_registry,
    registry,
)

ENGINE = REPOSITORY / "tests" / "system" / "engine"
PROGRAMS = Path(sys.executable).parent
# As Dagger's own lock has it: the generator does not run with later ones.
GRAPHQL = "graphql-core==3.2.7"
EACH = pytest.mark.parametrize("language", ["python", "dang"])
OURS = "MLIFECYCLE_TEST_ENGINE" in os.environ

# mypy judges the consumer, and only reads what is generated.
MYPY = """\
[mypy]
strict = True
[mypy-dagger_gen]
follow_imports = silent
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small module with the consumers where they lie in the repository.

    Files may be put into it where the SDK would have put them.
    """
    copy = small_module.make(tmp_path_factory.mktemp("checkout"))
    for name in ("consumer", "consumer-dang"):
        shutil.copytree(EXAMPLES / name, copy / "examples" / name)
    return copy


@pytest.fixture(scope="module")
def bindings(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Dagger's own generator writes for the Python consumer: `dagger_gen.py`."""
    room = tmp_path_factory.mktemp("bindings")
    module = json.dumps(str(checkout / "examples" / "consumer"))
    query = f"{{ moduleSource(refString: {module}) {{ introspectionSchemaJSON {{ contents }} }} }}"
    done = dagger(checkout, "query", "-M", stdin=query)
    assert done.returncode == 0, done.stderr
    answered = json.loads(done.stdout)["moduleSource"]["introspectionSchemaJSON"]["contents"]
    (room / "schema.json").write_text(answered)
    # The sources may be gone while the engine that was built from them is kept.
    fetch = ["go", "mod", "download", "-json", "github.com/dagger/dagger"]
    told = subprocess.run(
        fetch, cwd=ENGINE / "source", capture_output=True, text=True, check=True
    ).stdout
    sources = json.loads(told)["Dir"]
    isolated = ["--quiet", "--no-project", "--isolated", "--python", sys.executable]
    generate = ["python", "-m", "codegen", "generate", "-i", "schema.json", "-o", "dagger_gen.py"]
    subprocess.run(
        [PROGRAMS / "uv", "run", *isolated, "--with", GRAPHQL, *generate],
        cwd=room,
        env=os.environ | {"PYTHONPATH": f"{sources}/sdk/python/codegen/src"},
        check=True,
    )
    return room / "dagger_gen.py"


@pytest.fixture(scope="module")
def modules(checkout: Path, request: pytest.FixtureRequest) -> dict[str, Path]:
    """Both consumers, ready to be called.

    The tests' engine generates nothing for Python and wants a lock. A stock one does all that.
    """
    python = checkout / "examples" / "consumer"
    if OURS:
        # What it leaves out of git is left out of the module as well.
        (python / ".gitignore").unlink()
        shutil.copy(request.getfixturevalue("bindings"), python / "src")
        shutil.copy(ENGINE / "example" / "requirements.lock", python)
    return {"python": python, "dang": checkout / "examples" / "consumer-dang"}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_module.submit(tmp_path_factory.mktemp("good") / "models").parent


@pytest.fixture(scope="module")
def denied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    manifest = small_module.submit(tmp_path_factory.mktemp("denied") / "models")
    shutil.copy(EXAMPLES / "invalid" / "MG-ACC-001.yaml", manifest)
    return manifest.parent


def call(
    module: Path, repository: Path, function: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Call a consumer's function with a repository's manifest."""
    given = ["--source", ".", *images(), function, "--manifest", "model-manifest.yaml"]
    if "dang" in module.name and function != "findings":
        given += ["--name", "fraud-detector"]
    return dagger(repository, "call", "-m", module, *given, *arguments)


@pytest.mark.skipif(not OURS, reason="the generator's sources come with the tests' engine")
def test_the_python_consumer_has_the_types_that_dagger_generates(
    bindings: Path, tmp_path: Path
) -> None:
    (tmp_path / "mypy.ini").write_text(MYPY)
    options = ["--config-file", f"{tmp_path}/mypy.ini", "--cache-dir", f"{tmp_path}/cache"]
    done = subprocess.run(
        [PROGRAMS / "mypy", *options, "-p", "acme_release"],
        cwd=EXAMPLES / "consumer",
        env=os.environ | {"MYPYPATH": f"{bindings.parent}:src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@EACH
def test_a_step_of_ones_own_asks_the_image(
    modules: dict[str, Path], good: Path, language: str
) -> None:
    done = call(modules[language], good, "test")
    assert done.returncode == 0, done.stderr
    assert "ready" in done.stdout


@EACH
def test_what_the_scanners_found_is_a_file(
    modules: dict[str, Path], good: Path, tmp_path: Path, language: str
) -> None:
    done = call(modules[language], good, "findings", "-o", str(tmp_path / "findings.sarif"))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "findings.sarif").read_text())["version"] == "2.1.0"


@needs_registry
def test_both_publish_the_same_image(modules: dict[str, Path], good: Path) -> None:
    published = set()
    for module in modules.values():
        done = call(module, good, "release", "--address", registry("consumer/fraud-detector"))
        assert done.returncode == 0, done.stderr
        published.add(done.stdout.strip())
    (address,) = published
    assert address.startswith(registry("consumer/fraud-detector"))
    assert "@sha256:" in address


@EACH
def test_a_denied_model_is_not_published(
    modules: dict[str, Path], denied: Path, language: str
) -> None:
    done = call(modules[language], denied, "release", "--address", "127.0.0.1:1/never/asked")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "MG-ACC-001" in done.stderr
