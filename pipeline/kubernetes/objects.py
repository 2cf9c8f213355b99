"""Reads a YAML of Kubernetes objects as the cluster will: strictly, and as plain JSON values."""

from __future__ import annotations

from typing import Any

import yaml

from pipeline.policy.data import Loader, is_json


class Unreadable(Exception):
    """The YAML holds something that is no object; the message says what."""


def read(data: bytes) -> list[dict[str, Any]]:
    """The objects in `data`, in its order. A text that looks like a date stays a text.

    Raises Unreadable for broken YAML, a key given twice, NaN and what is no mapping.
    """
    try:
        found = list(yaml.load_all(data, Loader=Loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(" ".join(str(error).split())) from error
    for number, each in enumerate(found, start=1):
        if not isinstance(each, dict) or not is_json(each):
            raise Unreadable(f"document {number} is no object of JSON values")
    return found
