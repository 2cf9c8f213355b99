"""A model with code of its own, deployed as a user does it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from workplace import REPOSITORY, Workplace

HEAD = "import numpy as np\nfrom numpy.typing import NDArray\n\n"
PICKY = (
    HEAD
    + """
def preprocess(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    if (rows[:, 0] == 9999).any():
        raise ValueError("nobody pays that much")
    return rows
"""
)
TURNED = (
    HEAD
    + """
def postprocess(answers: NDArray[np.float32]) -> NDArray[np.float32]:
    return answers[:, ::-1].copy()
"""
)
TRANSFORM = "fraud-detector/transform.py"
OWN = {"digest": None, "transform": TRANSFORM}


def submitted(workplace: Workplace, text: str) -> Path:
    manifest = workplace.submission("own", model=OWN)
    (manifest.parent / TRANSFORM).write_text(text)
    return manifest


def status_of(address: str, instance: dict[str, Any]) -> int:
    body = json.dumps({"instances": [instance]}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}/predict", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_its_code_runs_around_the_model_and_is_part_of_the_release(workplace: Workplace) -> None:
    record = workplace.json("deploy", "--manifest", str(submitted(workplace, PICKY)))
    assert record["outcome"] == "passed"
    (build,) = (stage for stage in record["stages"] if stage["stage"] == "build")
    assert build["inputs"]["transform"].startswith("sha256:")
    (release,) = (workplace.state / "releases").iterdir()
    assert (release / "model" / "transform.py").read_text() == PICKY
    example = yaml.safe_load((REPOSITORY / "examples/valid/model-manifest.yaml").read_text())
    instance = example["spec"]["inference"]["golden_inputs"][0]["instance"]
    address = workplace.status()["url"]
    amounts = (23.4, 9999.0, 23.4)
    assert [status_of(address, instance | {"amount": amount}) for amount in amounts] == [
        *(200, 500, 200),
    ]


def test_a_transform_that_answers_wrongly_gets_no_traffic(workplace: Workplace) -> None:
    before = workplace.status()
    done = workplace.run("deploy", "--manifest", str(submitted(workplace, TURNED)))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "golden input" in done.stdout + done.stderr
    assert workplace.status()["release"] == before["release"]


def test_what_cannot_serve_ends_before_anything_is_built(workplace: Workplace) -> None:
    done = workplace.run("deploy", "--manifest", str(submitted(workplace, "def preprocess(x): 1")))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "spec.model.transform" in done.stderr
    assert "with its types" in done.stderr


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_customers_models_bring_none_unless_the_policy_says_so(
    workplace: Workplace, environment: str
) -> None:
    manifest = str(submitted(workplace, PICKY))
    done = workplace.run("govern", "--manifest", manifest, "--environment", environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "MG-TRF-001" in done.stdout
