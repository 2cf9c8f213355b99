"""A release's bill of materials: syft's, made the same for the same release, with the model in it.

Serial numbers and times are what keeps two bills of one thing from being equal; here the one is
derived from the release's digest and the other left out, or set to the epoch where the format
demands it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from pipeline.places.interface import Built
from pipeline.tools import syft

EPOCH = "1970-01-01T00:00:00Z"

Document = Mapping[str, Any]


def cyclonedx(bill: syft.Bill, release: Built, model: str) -> bytes:
    """The CycloneDX document of a release whose model is called `model`."""
    source = bill.cyclonedx
    root, model_ref = f"release:{release.digest}", f"model:{release.model_digest}"
    named = {
        "type": "machine-learning-model",
        "bom-ref": model_ref,
        "name": model,
        "version": release.version,
        "hashes": [{"alg": "SHA-256", "content": release.model_digest.removeprefix("sha256:")}],
    }
    components = sorted(source["components"], key=lambda component: str(component["bom-ref"]))
    dependencies = sorted(
        (
            {**d, "dependsOn": sorted(d.get("dependsOn", ()))}
            for d in source.get("dependencies", ())
        ),
        key=lambda dependency: str(dependency["ref"]),
    )
    everything = sorted([model_ref, *(str(component["bom-ref"]) for component in components)])
    document = {
        **source,
        "serialNumber": f"urn:uuid:{_uuid(release)}",
        "metadata": {
            "tools": source["metadata"]["tools"],
            "component": {
                "type": "application",
                "bom-ref": root,
                "group": release.namespace,
                "name": release.name,
                "version": release.version,
                "properties": [
                    {"name": f"mlifecycle:{name}", "value": value}
                    for name, value in (
                        ("environment", release.environment_digest),
                        ("lock", release.lock_digest),
                        ("manifest", release.manifest_digest),
                        ("server", release.server_digest),
                    )
                ],
            },
        },
        "components": [named, *components],
        "dependencies": [{"ref": root, "dependsOn": everything}, *dependencies],
    }
    return _json(document)


def spdx(bill: syft.Bill, release: Built, model: str) -> bytes:
    """The SPDX document of a release whose model is called `model`."""
    source = bill.spdx
    packages = [dict(package) for package in source["packages"] if not syft.is_root(package)]
    former = {str(p["SPDXID"]) for p in source["packages"] if syft.is_root(p)}
    root, model_id = "SPDXRef-Release", "SPDXRef-Model"
    own = [
        _own(root, release.name, release.version, "APPLICATION"),
        {
            **_own(model_id, model, release.version, "FILE"),
            "checksums": [
                {
                    "algorithm": "SHA256",
                    "checksumValue": release.model_digest.removeprefix("sha256:"),
                }
            ],
        },
    ]
    known = {"SPDXRef-DOCUMENT", root, *(str(package["SPDXID"]) for package in packages)}
    relationships = [_relationship(root, "CONTAINS", model_id)]
    for relationship in source["relationships"]:
        ends = {
            end: root if relationship[end] in former else relationship[end]
            for end in ("spdxElementId", "relatedSpdxElement")
        }
        # Single files are not listed: syft cannot say their SHA-1, which SPDX demands, unhashed.
        if set(ends.values()) <= known:
            relationships.append({**relationship, **ends})
    document = {key: value for key, value in source.items() if key != "files"} | {
        "name": f"{release.name}-{release.version}",
        "documentNamespace": f"urn:uuid:{_uuid(release)}",
        "creationInfo": {
            **source["creationInfo"],
            "creators": sorted(source["creationInfo"]["creators"]),
            "created": EPOCH,
        },
        "packages": [*own, *sorted(packages, key=lambda package: str(package["SPDXID"]))],
        "relationships": sorted(relationships, key=lambda r: json.dumps(r, sort_keys=True)),
    }
    return _json(document)


def _own(identifier: str, name: str, version: str, purpose: str) -> dict[str, Any]:
    return {
        "SPDXID": identifier,
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "primaryPackagePurpose": purpose,
    }


def _relationship(left: str, kind: str, right: str) -> dict[str, str]:
    return {"spdxElementId": left, "relationshipType": kind, "relatedSpdxElement": right}


def _uuid(release: Built) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, release.digest)


def _json(document: Document) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
