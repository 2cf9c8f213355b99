"""The catalog: which release of which model serves where, since when, on whose verdict."""

from __future__ import annotations

from pipeline.catalog.interface import Catalog
from pipeline.state import State


def open_catalog(state: State) -> Catalog:
    """The catalog that MLFLOW_TRACKING_URI names, or the local one in the state folder."""
    from pipeline.catalog.registry import MlflowCatalog

    return MlflowCatalog(state)
