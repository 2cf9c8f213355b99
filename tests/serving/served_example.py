"""What the server's tests share: the example, its settings, a client to an app."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from serving.http.application import Application

EXAMPLES = Path(__file__).parents[2] / "examples" / "valid"
RELEASE = "sha256:" + "a" * 64


def settings_of(manifest: dict[str, Any], data: bytes) -> dict[str, Any]:
    spec = copy.deepcopy(manifest["spec"])
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    return {
        "format": 1,
        "model": {
            **{key: spec["model"][key] for key in ("name", "version", "framework", "description")},
            "file": "model/model.pt2",
            "digest": digest,
        },
        "lane": {"name": "torch", "digest": digest},
        "batching": "drain",
        "signature": spec["signature"],
        "golden_inputs": spec["inference"]["golden_inputs"],
        "logging": spec["observability"]["logging"],
        "metrics": spec["observability"]["metrics"],
    }


@asynccontextmanager
async def connected(app: Application) -> AsyncIterator[httpx.AsyncClient]:
    # the server itself logs and answers an error; a test should see that answer, too
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://model") as opened:
        yield opened
