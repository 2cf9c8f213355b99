"""Taking model archives apart and putting them together again, for the tests."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

PROGRAM = "model/models/model.json"
WEIGHTS = "model/data/weights/model_weights_config.json"
CONSTANTS = "model/data/constants/model_constants_config.json"
SAMPLES = "model/data/sample_inputs/model.pt"

Entries = dict[str, bytes]


def unpacked(data: bytes) -> Entries:
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def packed(entries: Entries, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    return buffer.getvalue()


def edit(entries: Entries, name: str, change: Callable[[Any], None]) -> None:
    document = json.loads(entries[name])
    change(document)
    entries[name] = json.dumps(document).encode()
