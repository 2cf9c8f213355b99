"""The one shape of every error that a caller gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import orjson

from serving.signature import Fault

MAX_DETAILS = 20


class Refused(Exception):
    """A request that gets an error for an answer: the status, and what the caller can do."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        faults: Sequence[Fault] = (),
        headers: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.faults = faults
        self.headers = dict(headers or {})
        super().__init__(message)

    def body(self, request_id: str, protocol: bool = False) -> bytes:
        """The JSON document of it; with `protocol` as the Open Inference Protocol wants it, where
        `error` is a text: the rest is beside it."""
        details = [
            {**asdict(fault), "value": short(fault.value)} for fault in self.faults[:MAX_DETAILS]
        ]
        rest = {"details": details, "request_id": request_id}
        if not protocol:
            return orjson.dumps({"error": {"code": self.code, "message": self.message, **rest}})
        message = self.message
        if details:
            first = details[0]
            message += (
                f" Instance {first['instance']}: {first['feature']} is {first['value']} instead of "
                f"{first['expected']}."
            )
        return orjson.dumps({"error": message, "code": self.code, **rest})


def short(value: Any) -> Any:
    """The offending value as it was sent when it is small, else the beginning of it."""
    if value is None or isinstance(value, bool | int | float):
        return value if not isinstance(value, float) or isfinite(value) else str(value)
    try:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
    except TypeError:  # nested deeper than orjson writes, though not deeper than it reads
        return f"a deeply nested {'object' if isinstance(value, dict) else 'array'}"
    return text if len(text) <= 100 else text[:97] + "..."
