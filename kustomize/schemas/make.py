"""Writes the schemas of Kubernetes' own kinds beside this file, from the wheel kubernetes-validate.

    make generate

They are strict, each is complete in itself (kubeconform follows no reference to another file), and
without descriptions. The schemas in custom/, of kinds that operators bring, are written by hand.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
VERSION = "v1.34.0"
KINDS = (
    *("namespace-v1", "configmap-v1", "service-v1", "serviceaccount-v1"),
    *("deployment-apps-v1", "horizontalpodautoscaler-autoscaling-v2"),
    *("poddisruptionbudget-policy-v1", "networkpolicy-networking-v1", "ingress-networking-v1"),
    *("role-rbac-v1", "rolebinding-rbac-v1"),
)
_ELSEWHERE = "/api/_definitions.json#"


def schemas() -> dict[str, str]:
    """Each schema by the name of its file."""
    # Not imported: its own imports are of no use here.
    wheel = importlib.util.find_spec("kubernetes_validate")
    if wheel is None or wheel.origin is None:
        raise ModuleNotFoundError("kubernetes-validate is not installed: run `make test`")
    source = Path(wheel.origin).parent / "kubernetes-json-schema" / f"{VERSION}-local-strict"
    definitions = json.loads((source / "_definitions.json").read_text())["$defs"]
    found = {f"{kind}.json": _complete(source / f"{kind}.json", definitions) for kind in KINDS}
    return found | {"inferenceservice-serving-v1beta1.json": _inference_service(definitions)}


def _inference_service(definitions: dict[str, Any]) -> str:
    """KServe's InferenceService, as far as it is used: a pod spec with an autoscaler's bounds."""
    pod = definitions["io.k8s.api.core.v1.PodSpec"]
    number = {"type": "integer", "minimum": 0}
    bounds = {
        "minReplicas": number,
        "maxReplicas": number,
        "scaleTarget": number,
        "scaleMetric": {"enum": ["cpu", "memory", "concurrency", "rps"]},
        "canaryTrafficPercent": {"type": "integer", "minimum": 0, "maximum": 100},
    }
    predictor = pod | {"properties": pod["properties"] | bounds, "type": "object"}
    metadata = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    schema: dict[str, Any] = {
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": "serving.kserve.io/v1beta1"},
            "kind": {"const": "InferenceService"},
            "metadata": {"$ref": f"#/$defs/{metadata}"},
            "spec": {
                "additionalProperties": False,
                "properties": {"predictor": predictor},
                "required": ["predictor"],
                "type": "object",
            },
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "type": "object",
    }
    text = json.dumps(schema).replace(_ELSEWHERE, "#")
    schema = json.loads(text)
    schema["$defs"] = {
        name: json.loads(json.dumps(definitions[name]).replace(_ELSEWHERE, "#"))
        for name in _needed(text, definitions)
    }
    return json.dumps(_bare(schema), sort_keys=True, separators=(",", ":")) + "\n"


def _complete(file: Path, definitions: dict[str, Any]) -> str:
    text = file.read_text().replace(_ELSEWHERE, "#")
    schema = json.loads(text)
    # By its name it would be taken for a part of the definitions' file.
    del schema["$id"]
    schema["$defs"] = {name: definitions[name] for name in _needed(text, definitions)}
    return json.dumps(_bare(schema), sort_keys=True, separators=(",", ":")) + "\n"


def _needed(text: str, definitions: dict[str, Any]) -> list[str]:
    """The definitions that the text refers to, and those that they refer to."""
    found: set[str] = set()
    left = [text.replace(_ELSEWHERE, "#")]
    while left:
        for name in re.findall(r'"#/\$defs/([^"]+)"', left.pop()):
            if name not in found:
                found.add(name)
                left.append(json.dumps(definitions[name]).replace(_ELSEWHERE, "#"))
    return sorted(found)


def _bare(value: Any) -> Any:
    """Without descriptions. A property of that name is a schema, and no text."""
    match value:
        case dict():
            return {
                key: _bare(item)
                for key, item in value.items()
                if not (key == "description" and isinstance(item, str))
            }
        case list():
            return [_bare(item) for item in value]
        case _:
            return value


def main() -> None:
    """Write them."""
    for name, text in schemas().items():
        (HERE / name).write_text(text)


if __name__ == "__main__":
    main()
