"""Another model than the example's: the same program with one weight a little changed."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path


def alter(path: Path, factor: float = 1.0001) -> None:
    """Multiply the first weight of the archive at `path`, in place, keeping it a sound archive."""
    with zipfile.ZipFile(path) as archive:
        entries = [(info, archive.read(info)) for info in archive.infolist()]
    (index,) = [
        i for i, (info, _) in enumerate(entries) if info.filename.endswith("weights/weight_0")
    ]
    info, data = entries[index]
    (first,) = struct.unpack_from("<f", data)
    entries[index] = (info, struct.pack("<f", first * factor) + data[4:])
    path.unlink()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for info, data in entries:
            archive.writestr(info, data)
