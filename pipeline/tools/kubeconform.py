"""kubeconform: whether Kubernetes objects are what their schemas say."""

from __future__ import annotations

from pipeline.tools.interface import ToolImage

NAME = "kubeconform"
PIN = ToolImage(
    "ghcr.io/yannh/kubeconform:v0.8.0"
    "@sha256:faffaf43f95aa6425306e1ab8d6fcad72acb9049158f38e574c085ea1ec0f64e",
    "/kubeconform",
)
