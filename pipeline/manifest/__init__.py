"""The manifest: the one file that a data scientist writes. `load` reads and checks it."""

from pipeline.manifest.loading import Manifest, load
from pipeline.manifest.types import ModelDeployment
from pipeline.manifest.values import seconds

__all__ = ["Manifest", "ModelDeployment", "load", "seconds"]
