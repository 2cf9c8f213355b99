"""The FastAPI application: the pages that describe the interface."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from serving.http.openapi import document
from serving.limits import Limits
from serving.settings import Settings


class Pages(FastAPI):
    """The application that answers /docs and /openapi.json."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        super().__init__(title=settings.name, version=settings.version, redoc_url=None)
        self._document = document(settings, limits)

    def openapi(self) -> dict[str, Any]:
        """The interface as it behaves; FastAPI's own would be of routes that it does not have."""
        return self._document
