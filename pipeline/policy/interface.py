"""The contract of a policy engine: a bundle and an input in, a decision document out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pipeline.policy.bundle import Bundle


class PolicyFailed(Exception):
    """The policies did not compile, failed or gave no decision. Whoever asks takes it for a no."""


class Engine(Protocol):
    """Evaluates Rego."""

    name: str

    async def version(self) -> str:
        """The version of what evaluates."""

    async def evaluate(self, bundle: Bundle, query: str, document: Mapping[str, Any]) -> Any:
        """The value of `query` (a `data.` path) with `document` as input; sets come as lists.

        Raises PolicyFailed when a module does not compile, a built-in fails, or the query is
        undefined; EnvironmentFailed when the engine itself is not there.
        """
