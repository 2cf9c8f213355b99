"""Each CI wrapper's command, run as it stands there, says what a run at a desk says.

On the small module: what the wrappers add is the command, not the model.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import small_module
from calls import EXAMPLES, dagger, images, needs_registry, registry
from wrappers import WRAPPERS, command_of, evidence_of

MLIFECYCLE = Path(sys.executable).with_name("mlifecycle")
DENIED = EXAMPLES / "invalid" / "MG-ACC-001.yaml"
# A catalog of each call's own: what one wrapper deployed is nothing to the next.
SECRETS = {
    "MLFLOW_TRACKING_URI": "sqlite:////tmp/catalog.db",
    "REGISTRY_PASSWORD": "none is asked for",
}
EACH = pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda path: path.name)

pytestmark = needs_registry


@pytest.fixture(scope="module")
def denied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("denied") / "models"
    shutil.copy(DENIED, small_module.submit(folder))
    return repository_of(folder)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "models"
    small_module.submit(folder)
    return repository_of(folder)


def repository_of(folder: Path) -> Path:
    make = ["git", "init", "--quiet", str(folder)]
    subprocess.run(make, check=True)
    return folder


@pytest.fixture(scope="module")
def records() -> dict[Path, dict[str, Any]]:
    """The records of the wrappers that ran, by repository: the first stands for all."""
    return {}


def run(command: list[str], repository: Path, module: Path) -> subprocess.CompletedProcess[str]:
    """A wrapper's command on `module`, with the tests' registry and images."""
    words = list(command)
    words[words.index("-m") + 1] = str(module)
    words[words.index("--registry") + 1] = registry("wrappers/fraud-detector")
    at = words.index("--source")
    words[at:at] = images()
    assert words.pop(0) == "dagger"
    return dagger(repository, *words, **SECRETS)


def evidence(wrapper: Path, repository: Path, module: Path) -> dict[str, Any]:
    """The record that the wrapper's second command exports."""
    folder = repository / "evidence"
    shutil.rmtree(folder, ignore_errors=True)
    done = run(evidence_of(wrapper), repository, module)
    assert done.returncode == 0, done.stderr
    reports = {path.name for path in (folder / "reports").iterdir()}
    assert {"mlifecycle.sarif", "junit.xml"} <= reports
    assert (folder / "summary.md").read_text()
    record: dict[str, Any] = json.loads((folder / "record.json").read_text())
    return record


def at_a_desk(repository: Path) -> dict[str, Any]:
    """The record of the same judgement by the command line, without any engine."""
    options = ["--environment", "dev", "--state", f"{repository}/.mlifecycle", "--output", "json"]
    done = subprocess.run(
        [MLIFECYCLE, "govern", "--manifest", "model-manifest.yaml", *options],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def judged(record: dict[str, Any]) -> dict[str, Any]:
    """What the policies said, and of what."""
    (stage,) = (stage for stage in record["stages"] if stage["stage"] == "govern")
    return {
        "model": record["model"],
        "version": record["version"],
        "environment": record["environment"],
        "manifest": record["manifest_digest"],
        "policies": stage["inputs"]["policies"],
        "outcome": stage["outcome"],
        "violations": stage["violations"],
    }


def digests(record: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Every stage's digests of what went in and what came out."""
    found = {}
    for stage in record["stages"]:
        named = stage["inputs"] | stage["outputs"]
        found[stage["stage"]] = {k: v for k, v in named.items() if v.startswith("sha256:")}
    return found


@EACH
def test_a_denied_model_stops_the_job_and_leaves_its_evidence(
    wrapper: Path, denied: Path, small: Path, records: dict[Path, dict[str, Any]]
) -> None:
    done = run(command_of(wrapper), denied, small)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "MG-ACC-001" in done.stderr
    record = evidence(wrapper, denied, small)
    assert record["outcome"] == "denied"
    assert judged(record) == judged(at_a_desk(denied))
    assert digests(record) == digests(records.setdefault(denied, record))


def test_a_good_model_is_deployed_and_leaves_its_evidence(
    good: Path, small: Path, records: dict[Path, dict[str, Any]]
) -> None:
    # One stands for all: `test_ci_files.py` sees to it that all five have the same commands.
    wrapper = WRAPPERS[0]
    done = run(command_of(wrapper), good, small)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fraud-detector 1.2.0" in done.stdout
    record = evidence(wrapper, good, small)
    assert record["outcome"] == "passed"
    assert judged(record) == judged(at_a_desk(good))
    assert digests(record) == digests(records.setdefault(good, record))
