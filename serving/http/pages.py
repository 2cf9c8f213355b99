"""The FastAPI application: the pages that describe the interface."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from serving.http.openapi import document
from serving.limits import Limits
from serving.settings import Settings


def create(settings: Settings, limits: Limits) -> FastAPI:
    """The application that answers /docs and /openapi.json."""
    app = FastAPI(title=settings.name, version=settings.version, redoc_url=None)
    described = document(settings, limits)

    def openapi() -> dict[str, Any]:
        return described

    app.openapi = openapi  # type: ignore[method-assign]
    return app
