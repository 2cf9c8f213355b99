"""What the catalog knows: which release serves where, since when, on whose verdict.

The catalog is told after traffic moved; it never decides anything by itself. The only rule that
rests on it is that a semantic version which has served in staging or prod means one release for
good (`bound_release`): in local and dev the same version may be replaced while it is worked on.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pipeline.environment import Environment

# Where a semantic version, once served, can never mean another release.
BINDING = frozenset({Environment.STAGING, Environment.PROD})

Label = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
# MLflow cuts a long tag off without a word: what goes into one must have a bound.
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Metrics = Annotated[dict[Key, Number], Field(max_length=32)]
# As a kubeconfig names the way to a cluster; empty for what serves in none.
Context = Annotated[str, Field(max_length=512)]
Digests = Annotated[dict[Key, Digest], Field(max_length=16)]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Label
    namespace: Label
    version: Word
    environment: Environment
    release: Digest
    metrics: Metrics = Field(default_factory=dict)
    run: Word
    verdict: Digest
    digests: Digests = Field(default_factory=dict)
    context: Context = ""


class Serving(_Facts):
    """The release that serves one model in one environment.

    `version` is the semantic version, `release` the release's digest, `run` the pipeline run that
    put it there, `verdict` the digest of what allowed it, `digests` those of its parts (manifest,
    model, lock, server, environment, policy) by name, `metrics` the numbers it was judged by,
    `context` the cluster that it serves in.
    """

    since: AwareDatetime


class Kind(StrEnum):
    """What happened."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    STOP = "stop"


class Event(_Facts):
    """One change of what serves. A stop carries the facts of the release that it stopped.

    `run` and `kind` together name the event: the same two are the same event, however often told.
    """

    kind: Kind
    at: AwareDatetime

    @property
    def serving(self) -> Serving | None:
        """What serves once this has happened."""
        if self.kind is Kind.STOP:
            return None
        facts = self.model_dump(exclude={"kind", "at"})
        return Serving(**facts, since=self.at)


class Version(BaseModel):
    """One release as the registry lists it: `number` counts the model's releases from 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    version: str
    release: str
    registered: datetime


class Catalog(Protocol):
    """Every method raises EnvironmentFailed when the catalog cannot be reached or read."""

    def serving(self, name: str, namespace: str, environment: Environment) -> Serving | None:
        """What serves this model there, or None."""

    def in_service(self, environment: Environment | None = None) -> list[Serving]:
        """All that serves, in one environment or in all, sorted by environment and name."""

    def register(self, event: Event) -> None:
        """Record an event. Telling it again changes nothing and completes what was cut short.

        An event told late, after a newer one, enters the history and moves nothing.
        """

    def history(
        self, name: str, namespace: str, environment: Environment | None = None
    ) -> list[Event]:
        """Every event of a model, newest first."""

    def versions(self, name: str, namespace: str) -> list[Version]:
        """Every release of a model that was ever registered, newest first."""


def bound_release(history: Iterable[Event], version: str) -> str | None:
    """The one release that `version` may mean in staging and prod, or None while it is free."""
    bound = [
        event
        for event in history
        if event.version == version and event.environment in BINDING and event.kind is not Kind.STOP
    ]
    return min(bound, key=lambda event: event.at).release if bound else None
