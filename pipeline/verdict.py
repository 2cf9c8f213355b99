"""What a gate says: the violations that make it a no, each with what to do about it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, JsonValue


class Level(StrEnum):
    """Whether a violation ends the run or is only said."""

    DENY = "deny"
    WARN = "warn"


class Violation(BaseModel):
    """One rule that was not met, named so that a person can act on it and a script can match it.

    `id` is the rule's stable name (`MG-ACC-001`), `path` the field or artifact that broke it,
    `actual` what was found there (null when absent), `expected` what would have passed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    level: Level = Level.DENY
    path: str
    actual: JsonValue
    expected: str
    remedy: str


class Verdict(BaseModel):
    """A gate's decision. It is a yes only when a policy said so and no violation denies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allowed: bool
    violations: tuple[Violation, ...] = ()
    policy_digest: str
    engine: str
