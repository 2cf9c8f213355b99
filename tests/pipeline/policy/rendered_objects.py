"""The example's objects for prod, as kustomize wrote them, to be changed in one place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

RECORDED = Path(__file__).parents[1] / "tools" / "reports" / "kustomize" / "objects.json"
DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGE = f"ghcr.io/acme-bank/fraud-detector:1.2.0@{DIGEST}"
POD = ("Deployment", "spec", "template", "spec")
SERVER = (*POD, "containers", 0)
SECURITY = (*SERVER, "securityContext")

Step = str | int


class Objects:
    """Every object of one render. A path starts with the kind of the one object it leads into."""

    def __init__(self) -> None:
        text = json.loads(RECORDED.read_text())["files"]["objects.yaml"]
        self.every: list[Any] = list(yaml.safe_load_all(text))
        self.put(*SERVER, "image", IMAGE)

    def at(self, *path: Step) -> Any:
        kind, *steps = path
        (found,) = [each for each in self.every if each["kind"] == kind]
        for step in steps:
            found = found[step]
        return found

    def put(self, *path_and_value: Any) -> Objects:
        """Set the value at the path, the last of the arguments."""
        *path, last, value = path_and_value
        self.at(*path)[last] = value
        return self

    def cut(self, *path: Step) -> Objects:
        """Take the value at the path away; for a kind alone, the object."""
        *above, last = path
        if above:
            del self.at(*above)[last]
        else:
            self.every.remove(self.at(last))
        return self

    def add(self, *things: Any) -> Objects:
        """More objects."""
        self.every += things
        return self

    def document(self, environment: str) -> dict[str, Any]:
        """What the policy is given."""
        for each in self.every:
            labels = each.get("metadata", {}).get("labels") if isinstance(each, dict) else None
            if isinstance(labels, dict) and labels.get("mlifecycle.io/environment") == "prod":
                labels["mlifecycle.io/environment"] = environment
        return {"environment": environment, "objects": self.every}


def thing(kind: str, version: str = "v1", **more: Any) -> dict[str, Any]:
    """An object of ours of another kind."""
    labels = {
        "app.kubernetes.io/managed-by": "mlifecycle",
        "app.kubernetes.io/name": "fraud-detector",
        "mlifecycle.io/environment": "prod",
        "team": "payments-risk",
    }
    metadata = {"name": "another", "namespace": "payments-risk", "labels": labels}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}
