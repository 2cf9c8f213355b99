"""kustomize: puts a base, an overlay and a model's own values together into one YAML."""

from __future__ import annotations

from pipeline.tools.interface import ToolImage

NAME = "kustomize"
PIN = ToolImage(
    "registry.k8s.io/kustomize/kustomize:v5.8.1"
    "@sha256:899fcd3bc898160e62bcaf82932b0cb29ba38d16272353db2e7acbba82129429",
    "/app/kustomize",
)
