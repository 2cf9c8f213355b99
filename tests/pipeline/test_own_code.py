"""A model's own code as the build takes it: read, not run, and refused where it cannot serve."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from pipeline import digest, transform
from pipeline import manifest as manifests
from pipeline.errors import InvalidInput
from pipeline.manifest import Manifest
from pipeline.program import Transform
from pipeline.state import State

EXAMPLE = Path(__file__).parents[2] / "examples" / "valid" / "model-manifest.yaml"
HEAD = "import numpy as np\nraise SystemExit('it was run')\n"
GOOD = HEAD + "def preprocess(rows: np.ndarray) -> np.ndarray:\n    return rows\n"


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Manifest]:
    def make(uri: str = "own/transform.py", lane: str = "torch") -> Manifest:
        document: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
        document["spec"]["model"]["transform"] = uri
        document["spec"]["inference"]["lane"] = lane
        path = tmp_path / "model-manifest.yaml"
        path.write_text(json.dumps(document, default=str))
        return manifests.load(path)

    return make


def fetched(manifest: Manifest, text: str | bytes | None = GOOD) -> Transform | None:
    if text is not None:
        (manifest.folder / "own").mkdir(exist_ok=True)
        data = text.encode() if isinstance(text, str) else text
        (manifest.folder / "own" / "transform.py").write_bytes(data)
    return anyio.run(transform.fetch, manifest, State(manifest.folder / "state"))


def test_it_is_kept_under_its_digest_and_not_run(load: Callable[..., Manifest]) -> None:
    found = fetched(load())
    assert found is not None
    assert found.digest == digest.of_bytes(GOOD.encode())
    assert found.path.read_text() == GOOD


def test_a_model_without_one_has_none(tmp_path: Path) -> None:
    assert anyio.run(transform.fetch, manifests.load(EXAMPLE), State(tmp_path)) is None


ARRAY = "np.ndarray"
WRONG = {
    "": "a file that defines preprocess or postprocess",
    "x = 1": "a file that defines preprocess or postprocess",
    "def preprocess(": "Python code",
    "\0": "Python code",
    "class postprocess: ...": "a plain function",
    f"async def preprocess(r: {ARRAY}) -> {ARRAY}: ...": "a plain function",
    f"@wrapped\ndef preprocess(r: {ARRAY}) -> {ARRAY}: ...": "a plain function",
    f"def preprocess(a: {ARRAY}, b: {ARRAY}) -> {ARRAY}: ...": "a plain function",
    f"def preprocess(*, a: {ARRAY}) -> {ARRAY}: ...": "a plain function",
    f"def preprocess(a: {ARRAY} = None) -> {ARRAY}: ...": "a plain function",
    "def preprocess(rows): ...": "with its types",
    f"def preprocess(rows: {ARRAY}): ...": "with its types",
    "(" * 5000: "Python code",
    "#" * (transform.SIZE_LIMIT + 1): "a file of at most",
}


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_what_cannot_serve_is_refused(load: Callable[..., Manifest], text: str) -> None:
    manifest = load()
    with pytest.raises(InvalidInput) as refused:
        fetched(manifest, text)
    (problem,) = refused.value.problems
    assert (problem.file, problem.path) == (str(manifest.path), "spec.model.transform")
    assert WRONG[text] in problem.expected
    assert not (manifest.folder / "state" / "transforms").exists()


def test_a_file_that_is_not_there_is_refused(load: Callable[..., Manifest]) -> None:
    with pytest.raises(InvalidInput, match=r"spec\.model\.transform"):
        fetched(load(), None)


@pytest.mark.parametrize("what", ["own", "own/transform.py"])
def test_a_link_is_refused_because_no_scanner_follows_it(
    load: Callable[..., Manifest], what: str
) -> None:
    manifest = load()
    fetched(manifest)
    place = manifest.folder / what
    place.rename(manifest.folder / "elsewhere")
    place.symlink_to(manifest.folder / "elsewhere")
    with pytest.raises(InvalidInput) as refused:
        fetched(manifest, None)
    assert "behind a link" in refused.value.problems[0].remedy


@pytest.mark.parametrize("lane", ["onnx", "auto"])
def test_only_the_torch_lane_takes_one(load: Callable[..., Manifest], lane: str) -> None:
    with pytest.raises(InvalidInput, match="torch, as the model has a transform"):
        load(lane=lane)


@pytest.mark.parametrize("uri", ["https://h/t.py", "../t.py", "t.txt"])
def test_it_lies_beside_the_manifest(load: Callable[..., Manifest], uri: str) -> None:
    with pytest.raises(InvalidInput, match=r"a \.py file inside"):
        load(uri)
