"""Provenance: what was built, by what, from which materials, as an in-toto statement.

The form is SLSA Provenance v1 (https://slsa.dev/spec/v1.0/provenance). It is not signed here.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from pipeline.places.interface import Built
from pipeline.record import RunRecord

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:mlifecycle:build:v1"
NAME = "reports/provenance.json"

_IMAGE = "image "


def statement(record: RunRecord, built: Built, finished: datetime) -> bytes:
    """The statement about the release that a run built, as JSON.

    Its subject is the image, by the digest of its manifest; a release without one is its own
    subject, by the digest of its description. Every material has a SHA-256.
    """
    image = built.outputs.get("image")
    subject = {
        "name": f"{built.namespace}/{built.name}:{built.version}",
        "digest": _digest(image or built.digest),
    }
    document = {
        "_type": STATEMENT,
        "subject": [subject],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "manifest": record.manifest,
                    "environment": record.environment.value,
                    "goal": record.command,
                },
                "internalParameters": {"release": built.digest},
                "resolvedDependencies": _materials(record, built),
            },
            "runDetails": {
                "builder": {
                    "id": f"urn:mlifecycle:builder:{record.runtime}",
                    "version": {
                        name: version
                        for name, version in sorted(record.versions.items())
                        if not name.startswith(_IMAGE)
                    },
                },
                "metadata": {
                    "invocationId": record.id,
                    "startedOn": record.started.isoformat(),
                    "finishedOn": finished.isoformat(),
                },
            },
        },
    }
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _materials(record: RunRecord, built: Built) -> list[dict[str, Any]]:
    parts = {
        "manifest": built.manifest_digest,
        "model": built.model_digest,
        "lock": built.lock_digest,
        "server": built.server_digest,
        "settings": built.settings_digest,
        "environment": built.environment_digest,
        "inventory": built.inventory.digest,
    }
    materials = [{"name": name, "digest": _digest(value)} for name, value in sorted(parts.items())]
    if "image" in built.outputs:
        # Of all the images of a run, those that the release's own image is made from.
        for name in ("python", "uv"):
            reference = record.versions[f"{_IMAGE}{name}"]
            materials.append(
                {"name": name, "uri": f"docker://{reference}", "digest": _digest(reference)}
            )
    return materials


def _digest(named: str) -> dict[str, str]:
    """The digest set of `sha256:<hex>` or of a reference that ends with it."""
    return {"sha256": named.rpartition("sha256:")[2]}
