from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from wheels import make_wheel

from pipeline import manifest as manifests
from pipeline import resources
from pipeline.manifest import Manifest

# What the build asks of a server whose environment has no model in it.
MEASURE = """import json, sys
assert sys.argv[1:] == ["--release", "release"], sys.argv
print(json.dumps({"mode": "drain", "batch": 64, "row_seconds": 1e-5, "batch_seconds": 2e-5,
                  "gain": 32.0, "worth": 1.2}))
"""
EXAMPLE = Path(__file__).parents[2] / "examples" / "valid" / "model-manifest.yaml"
MODEL = EXAMPLE.parent / "fraud-detector" / "model.pt2"

Submit = Callable[..., Manifest]


@dataclass
class Told:
    """What a stage said it was doing."""

    steps: list[str] = field(default_factory=list)

    def step(self, message: str) -> None:
        self.steps.append(message)


@pytest.fixture(scope="session")
def uv_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """uv asks an interpreter who it is only once, which is most of its time here."""
    return tmp_path_factory.mktemp("uv-cache")


@pytest.fixture
def wheelhouse(tmp_path: Path, uv_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """alpha needs beta, gamma stands alone; uv sees these wheels and no index."""
    folder = tmp_path / "wheelhouse"
    make_wheel(folder, "alpha", "1.0", ["beta>=1"])
    make_wheel(folder, "beta", "1.5")
    make_wheel(folder, "gamma", "2.0")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(uv_cache))
    monkeypatch.delenv("MLIFECYCLE_TORCH_INDEX", raising=False)
    return folder


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server that needs alpha, in the place of the real one."""
    folder = tmp_path / "bundled" / "serving"
    (folder / "tests").mkdir(parents=True)
    (folder / "__pycache__").mkdir()
    (folder / "requirements.in").write_text("# what it imports\nalpha>=1\n")
    (folder / "requirements-torch.in").write_text("# nothing besides\n")
    (folder / "requirements-onnx.in").write_text("beta>=1\n")
    (folder / "measure.py").write_text(MEASURE)
    (folder / "__init__.py").write_text("")
    (folder / "__main__.py").write_text("import alpha\nprint('alpha', alpha.VERSION)\n")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "tests" / "test_it.py").write_text("")
    (folder / "__pycache__" / "x.pyc").write_bytes(b"")
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path / "bundled" / name)
    return folder


@pytest.fixture
def submit(tmp_path: Path) -> Submit:
    """Write the example's manifest with changes to its spec, beside its model, and load it."""

    def write(**changes: Any) -> Manifest:
        folder = tmp_path / "submission"
        (folder / "fraud-detector").mkdir(parents=True, exist_ok=True)
        if not (folder / "fraud-detector" / "model.pt2").exists():
            shutil.copy(MODEL, folder / "fraud-detector" / "model.pt2")
        document = yaml.safe_load(EXAMPLE.read_text())
        document["spec"]["dependencies"] = ["gamma>=2"]
        for name, change in changes.items():
            if isinstance(change, dict):
                document["spec"][name] |= change
            else:
                document["spec"][name] = change
        document["spec"]["model"] = {
            key: value for key, value in document["spec"]["model"].items() if value is not None
        }
        path = folder / "model-manifest.yaml"
        path.write_text(yaml.safe_dump(document))
        return manifests.load(path)

    return write


@pytest.fixture
def told() -> Told:
    return Told()
