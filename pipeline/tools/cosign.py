"""cosign: signs images, and verifies their signatures."""

from __future__ import annotations

from pipeline.tools.interface import ToolImage

NAME = "cosign"
PIN = ToolImage(
    "ghcr.io/sigstore/cosign/cosign:v3.1.3"
    "@sha256:9e5c2f2edc34351160407ca3416c61855bdf9403c3c5936e0f0be7fc261611b8",
    "/ko-app/cosign",
)
