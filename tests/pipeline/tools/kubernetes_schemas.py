"""Kubernetes' own schemas, as kubeconform reads them, from the wheel kubernetes-validate."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

VERSION = "v1.34.0"
KINDS = (
    *("configmap-v1", "service-v1", "serviceaccount-v1"),
    *("deployment-apps-v1", "poddisruptionbudget-policy-v1"),
)
_ELSEWHERE = "/api/_definitions.json#"


def write(folder: Path) -> Path:
    """One file a kind in `folder`, each complete: kubeconform follows no reference to another."""
    # Not imported: its own imports are of no use here.
    wheel = importlib.util.find_spec("kubernetes_validate")
    if wheel is None or wheel.origin is None:
        raise ModuleNotFoundError("kubernetes-validate is not installed: run `make test`")
    source = Path(wheel.origin).parent / "kubernetes-json-schema" / f"{VERSION}-local-strict"
    definitions = json.loads((source / "_definitions.json").read_text())["$defs"]
    folder.mkdir(parents=True)
    for kind in KINDS:
        text = (source / f"{kind}.json").read_text().replace(_ELSEWHERE, "#")
        schema = json.loads(text)
        # By its name it would be taken for a part of the definitions' file.
        del schema["$id"]
        schema["$defs"] = {name: definitions[name] for name in _needed(text, definitions)}
        (folder / f"{kind}.json").write_text(json.dumps(schema))
    return folder


def _needed(text: str, definitions: dict[str, object]) -> list[str]:
    """The definitions that the text refers to, and those that they refer to."""
    found: set[str] = set()
    left = [text]
    while left:
        for name in re.findall(r'"#/\$defs/([^"]+)"', left.pop()):
            if name not in found:
                found.add(name)
                left.append(json.dumps(definitions[name]))
    return sorted(found)
