"""A release's files as the build leaves them, made from the first example."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from served_example import EXAMPLES, RELEASE, connected, settings_of

from serving import model, settings
from serving.app import create_app
from serving.http.application import Application
from serving.lanes.interface import Lane


@pytest.fixture(scope="session")
def manifest() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLES / "model-manifest.yaml").read_text())
    return loaded


@pytest.fixture(scope="session")
def model_bytes() -> bytes:
    return (EXAMPLES / "fraud-detector" / "model.pt2").read_bytes()


@pytest.fixture
def document(manifest: dict[str, Any], model_bytes: bytes) -> dict[str, Any]:
    """The content of settings.json, to be changed by a test."""
    return settings_of(manifest, model_bytes)


@pytest.fixture
def make_release(
    tmp_path: Path, model_bytes: bytes, manifest: dict[str, Any]
) -> Callable[..., Path]:
    """Write a release's folder; `data` is the model file, named by its true digest."""

    def make(document: dict[str, Any] | None = None, data: bytes = model_bytes) -> Path:
        folder = tmp_path / "release"
        (folder / "model").mkdir(parents=True, exist_ok=True)
        (folder / "model" / "model.pt2").write_bytes(data)
        content = document if document is not None else settings_of(manifest, data)
        (folder / "settings.json").write_text(json.dumps(content))
        return folder

    return make


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory, manifest: dict[str, Any], model_bytes: bytes
) -> tuple[settings.Settings, Lane]:
    """The example's settings and its loaded model, shared: nothing changes them."""
    folder = tmp_path_factory.mktemp("release")
    (folder / "model").mkdir()
    (folder / "model" / "model.pt2").write_bytes(model_bytes)
    (folder / "settings.json").write_text(json.dumps(settings_of(manifest, model_bytes)))
    loaded = settings.load(folder, RELEASE)
    return loaded, model.load(loaded)


@pytest.fixture
def app(served: tuple[settings.Settings, Lane]) -> Application:
    return create_app(*served)


@pytest.fixture
def client(app: Application) -> Callable[[], Any]:
    return lambda: connected(app)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Logging as it was: an app under test configures the process's."""
    logger = logging.getLogger("serving")
    before = logger.handlers, logger.level, logger.propagate
    yield
    logger.handlers, logger.level, logger.propagate = before


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
