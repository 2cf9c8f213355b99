"""The shipped policies, compiled once, asked about documents with single changes."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

from pipeline import manifest as manifests
from pipeline import resources
from pipeline.policy.bundle import GOVERNANCE, Bundle
from pipeline.policy.worker import Policy

EXAMPLES = Path(__file__).parents[3] / "examples"
EXAMPLE = manifests.load(EXAMPLES / "valid" / "model-manifest.yaml").document
BUNDLE = Bundle.load(resources.folder("policies"))
ABSENT = object()


def changed(document: Any, path: str, value: Any) -> Any:
    """A copy of `document` with `value` at the dotted path; ABSENT takes the key away."""
    document = copy.deepcopy(document)
    below = document
    *steps, last = path.split(".")
    for step in steps:
        below = below[int(step)] if isinstance(below, list) else below.setdefault(step, {})
    key = int(last) if isinstance(below, list) else last
    if value is ABSENT:
        del below[key]
    else:
        below[key] = value
    return document


# With what prod wants, so that it is valid everywhere.
VALID = changed(EXAMPLE, "spec.model.digest", "sha256:" + "0" * 64)


@functools.cache
def _policy(package: str, settings: str) -> Policy:
    data: Any = BUNDLE.data
    for path, value in json.loads(settings).items():
        for name in data["mlifecycle"]["environments"]:
            data = changed(data, f"mlifecycle.environments.{name}.{path}", value)
    return Policy(BUNDLE.modules, json.dumps(data), f"data.{package}.decision")


def decide(package: str, document: Any, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """The decision; `settings` are dotted paths with values to put into all environments."""
    policy = _policy(package, json.dumps(settings or {}, sort_keys=True))
    return dict(policy.evaluate(json.dumps(document, ensure_ascii=False)))


def ids(decision: dict[str, Any], level: str = "deny") -> set[str]:
    return {v["id"] for v in decision["violations"] if v["level"] == level}


def govern(
    path: str = "spec.model.name",
    value: Any = "fraud-detector",
    *,
    environment: str = "local",
    serving: Any = None,
    settings: dict[str, Any] | None = None,
    level: str = "deny",
) -> set[str]:
    """The ids of the rules that fire on the valid manifest with one change."""
    document = {
        "environment": environment,
        "manifest": changed(VALID, path, value),
        "catalog": {"serving": serving},
    }
    decision = decide(GOVERNANCE, document, settings)
    assert decision["allow"] == (not ids(decision))
    return ids(decision, level)
