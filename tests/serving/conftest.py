"""A release's files as the build leaves them, made from the first example."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI

from serving import model, settings
from serving.app import create_app

EXAMPLES = Path(__file__).parents[2] / "examples" / "valid"
RELEASE = "sha256:" + "a" * 64


@pytest.fixture(scope="session")
def manifest() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLES / "model-manifest.yaml").read_text())
    return loaded


@pytest.fixture(scope="session")
def model_bytes() -> bytes:
    return (EXAMPLES / "fraud-detector" / "model.pt2").read_bytes()


def settings_of(manifest: dict[str, Any], data: bytes) -> dict[str, Any]:
    spec = copy.deepcopy(manifest["spec"])
    return {
        "format": 1,
        "model": {
            **{key: spec["model"][key] for key in ("name", "version", "framework", "description")},
            "file": "model/model.pt2",
            "digest": "sha256:" + hashlib.sha256(data).hexdigest(),
        },
        "signature": spec["signature"],
        "golden_inputs": spec["inference"]["golden_inputs"],
        "logging": spec["observability"]["logging"],
        "metrics": spec["observability"]["metrics"],
    }


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
) -> tuple[settings.Settings, model.Model]:
    """The example's settings and its loaded model, shared: nothing changes them."""
    folder = tmp_path_factory.mktemp("release")
    (folder / "model").mkdir()
    (folder / "model" / "model.pt2").write_bytes(model_bytes)
    (folder / "settings.json").write_text(json.dumps(settings_of(manifest, model_bytes)))
    loaded = settings.load(folder, RELEASE)
    return loaded, model.load(loaded)


@pytest.fixture
def app(served: tuple[settings.Settings, model.Model]) -> FastAPI:
    return create_app(*served)


@pytest.fixture
def client(app: FastAPI) -> Callable[[], Any]:
    return lambda: connected(app)


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    # the server itself logs and answers an error; a test should see that answer, too
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://model") as opened:
        yield opened


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
