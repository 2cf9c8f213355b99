"""The release's model, verified and loaded into its lane."""

from __future__ import annotations

import hashlib

from serving import processors
from serving.errors import TamperedModel
from serving.lanes.interface import Lane
from serving.settings import Settings


def load(settings: Settings, threads: int | None = None) -> Lane:
    """Load the release's model; raises TamperedModel, UnsafeArchive or UnfitModel.

    It computes on `threads`, by default as many as there are processors for this process.

    The file is read once: the bytes whose digest was compared are the bytes that are checked and
    loaded, whatever happens to the file meanwhile.
    """
    try:
        data = settings.file.read_bytes()
    except OSError as error:
        raise TamperedModel(f"the model file cannot be read: {error.strerror}") from error
    found = "sha256:" + hashlib.sha256(data).hexdigest()
    if found != settings.program:
        raise TamperedModel(f"the model file is {found}, and the release names {settings.program}")
    # A lane's library is imported when it is chosen: seconds that another lane need not pay.
    if settings.lane == "onnx":
        from serving.lanes import onnx

        return onnx.load(data)
    from serving.lanes import pytorch

    return pytorch.load(data, threads or processors.available())
