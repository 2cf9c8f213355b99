"""opa: evaluates Rego. How it is called and read is in `policy/opa.py`, beside the other engine."""

from __future__ import annotations

from pipeline.tools.interface import ToolImage

NAME = "opa"
PIN = ToolImage(
    "openpolicyagent/opa:1.21.1-static"
    "@sha256:4675ab04ad1627f74741d2d9c5142698c79e18b7b09f192587d31d6dba20838e",
    "/opa",
)
