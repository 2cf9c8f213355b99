"""The release's model, verified and loaded into its lane."""

from __future__ import annotations

import hashlib

from serving import processors
from serving.errors import TamperedModel
from serving.lanes.interface import Lane
from serving.settings import Settings


def load(settings: Settings, threads: int | None = None) -> Lane:
    """Load the release's model, between its own functions where it has any.

    Raises TamperedModel, UnsafeArchive, UnfitModel or UnfitTransform.

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
    lane = _lane(settings, data, threads)
    if settings.transform is None:
        return lane
    from serving import transform

    steps = transform.load(settings.transform.file, settings.transform.digest)
    return transform.Transformed(lane, steps)


def _lane(settings: Settings, data: bytes, threads: int | None) -> Lane:
    # A lane's library is imported when it is chosen: seconds that another lane need not pay.
    if settings.lane == "onnx":
        from serving.lanes import onnx

        return onnx.load(data)
    from serving.lanes import pytorch

    return pytorch.load(data, threads or processors.available())
