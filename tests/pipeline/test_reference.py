"""What the server is told of the training reference, and when there is nothing to tell."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipeline.manifest import Manifest, load
from pipeline.reference import drift_settings

EXAMPLES = Path(__file__).parents[2] / "examples" / "valid"


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Manifest]:
    """The example, changed, in a folder of its own."""
    shutil.copytree(EXAMPLES, tmp_path / "example")
    path = tmp_path / "example" / "model-manifest.yaml"

    def made(**drift: object) -> Manifest:
        document = yaml.safe_load(path.read_text())
        document["spec"]["drift"] |= drift
        path.write_text(yaml.safe_dump(document))
        return load(path)

    return made


def test_each_monitored_feature_is_binned_by_its_deciles(manifest: Callable[..., Manifest]) -> None:
    found = drift_settings(manifest())
    assert found is not None
    assert found["window_seconds"] == 3600
    names = ["amount", "merchant_risk", "transactions_last_24h", "distance_from_home_km"]
    assert [each["feature"] for each in found["features"]] == names
    for each in found["features"]:
        assert each["edges"] == sorted(set(each["edges"]))
        assert len(each["shares"]) == len(each["edges"]) + 1
        assert sum(each["shares"]) == pytest.approx(1)
        assert min(each["shares"]) > 0
    amount = found["features"][0]
    assert len(amount["shares"]) == 10
    assert amount["shares"] == pytest.approx([0.1] * 10, abs=0.01)


@pytest.mark.parametrize("dataset", ["s3://bucket/reference.csv", "fraud-detector/none.csv", "."])
def test_what_is_not_a_file_beside_the_manifest_is_not_watched(
    manifest: Callable[..., Manifest], dataset: str
) -> None:
    assert drift_settings(manifest(reference_dataset=dataset)) is None


def test_nothing_is_made_of_a_column_that_is_not_of_numbers(
    manifest: Callable[..., Manifest],
) -> None:
    made = manifest()
    path = made.folder / "fraud-detector" / "reference.csv"
    path.write_text(path.read_text().replace("198.99", "nan", 1))
    assert drift_settings(made) is None
