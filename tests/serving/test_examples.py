"""The examples are what their manifests say: measured again, trained again, served."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from served_example import EXAMPLES, RELEASE, settings_of

from serving import golden, model, settings

MANIFESTS = {
    "fraud-detector": "model-manifest.yaml",
    "breast-cancer": "breast-cancer-manifest.yaml",
}

both = pytest.mark.parametrize("example", MANIFESTS)


def manifest_of(example: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLES / MANIFESTS[example]).read_text())
    return loaded


def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@both
def test_the_manifest_declares_what_is_measured(example: str) -> None:
    done = run("evaluate.py", EXAMPLES / MANIFESTS[example])
    assert (done.returncode, done.stderr) == (0, "")
    spec = manifest_of(example)["spec"]
    measured = yaml.safe_load(done.stdout)
    assert set(measured["metrics"]) == {"accuracy", "f1_score", "precision", "recall", "auc_roc"}
    assert len(measured["golden_inputs"]) == len(spec["inference"]["golden_inputs"]) >= 3
    assert set(measured["explainability"]["feature_importance"]) == {
        feature["name"] for feature in spec["signature"]["inputs"]
    }


@both
def test_training_again_gives_the_same_data_and_metrics(example: str, tmp_path: Path) -> None:
    trained = run(f"{example}/train.py", "--output", tmp_path / example)
    assert (trained.returncode, trained.stderr) == (0, "")
    for name in ("holdout.csv", "reference.csv"):
        again = (tmp_path / example / name).read_bytes()
        assert again == (EXAMPLES / example / name).read_bytes()
    shutil.copy(EXAMPLES / MANIFESTS[example], tmp_path)
    measured = yaml.safe_load(run("evaluate.py", tmp_path / MANIFESTS[example]).stdout)
    spec = manifest_of(example)["spec"]
    # another processor may round a sum otherwise and so end at a slightly different model
    for section in ("metrics", "fairness", "drift"):
        for name, value in measured[section].items():
            assert spec[section][name] == pytest.approx(value, abs=0.02), name


def test_an_overstated_number_is_named(tmp_path: Path) -> None:
    example = "breast-cancer"
    shutil.copytree(EXAMPLES / example, tmp_path / example)
    manifest = manifest_of(example)
    manifest["spec"]["metrics"]["accuracy"] += 0.001
    del manifest["spec"]["fairness"]["equalized_odds"]
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    done = run("evaluate.py", tmp_path / "manifest.yaml")
    assert done.returncode == 1
    wrong = [line.split(":")[0] for line in done.stderr.splitlines()]
    assert wrong == ["metrics.accuracy", "fairness.equalized_odds"]


@both
def test_the_model_passes_its_golden_inputs_in_the_server(
    example: str, make_release: Callable[..., Path]
) -> None:
    data = (EXAMPLES / example / "model.pt2").read_bytes()
    manifest = manifest_of(example)
    release = settings.load(make_release(settings_of(manifest, data), data), RELEASE)
    assert manifest["spec"]["model"].get("digest") in (None, release.digest)
    assert golden.failures(release, model.load(release)) == ()


@both
def test_the_files_are_small_and_name_no_folder_of_their_maker(example: str) -> None:
    for path in (EXAMPLES / example).iterdir():
        if path.is_file():
            data = path.read_bytes()
            assert len(data) < 200_000
            assert str(EXAMPLES.parents[1]).encode() not in data
