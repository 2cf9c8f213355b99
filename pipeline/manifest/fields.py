"""How a manifest's fields are declared: what one means, and what it does in the product."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

CLUSTER = "Cluster objects: "  # where a value goes that reaches a cluster


class Section(BaseModel):
    """A mapping of the manifest: no unknown keys, no conversions, no changes afterwards."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )


def field(description: str, effect: str, default: Any = ..., **constraints: Any) -> Any:
    """A field that holds a value. `effect` is what changes somewhere when the value changes."""
    extra = {"effect": effect, **constraints.pop("schema", {})}
    return Field(default, description=description, json_schema_extra=extra, **constraints)


def section(description: str, default: Any = ..., **constraints: Any) -> Any:
    """A field that holds further fields, whose effects are theirs."""
    return Field(default, description=description, **constraints)
