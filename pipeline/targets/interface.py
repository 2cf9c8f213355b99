"""The contract of a place that releases are deployed to.

A release is started beside what serves, proves itself without traffic, and only then takes the
traffic over. Until `promote` returns, the old release serves; if whoever started a candidate goes
away, the candidate goes too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self


class Deployable(Protocol):
    """What a target needs to know of a release."""

    @property
    def digest(self) -> str:
        """`sha256:<hex>`."""

    @property
    def folder(self) -> Path:
        """Where its files lie."""

    @property
    def version(self) -> str:
        """The model's version."""


@dataclass(frozen=True, slots=True)
class Served:
    """What takes traffic now. `pid` is 0 while a server that died is being started again.

    `record` is what the promoting run committed with the switch: the truth that the catalog is
    repaired from. `trouble` says why it is not healthy, when that is known.
    """

    release: str
    version: str
    url: str
    pid: int
    since: datetime
    healthy: bool
    record: Mapping[str, Any] = field(default_factory=dict)
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. `seconds` is the time from the request's first byte to the answer's last."""

    status: int
    body: bytes
    seconds: float

    def json(self) -> Any:
        """The body as JSON. Raises ValueError when it is none."""
        return json.loads(self.body)


class Client(Protocol):
    """Speaks HTTP to one server. Every call raises OSError when there is no answer."""

    async def get(self, path: str) -> Reply:
        """GET `path`."""

    async def post(self, path: str, body: Any) -> Reply:
        """POST `body` as JSON."""


class CandidateFailed(Exception):
    """The candidate ended, or did not get ready in time. `log` is the end of its log."""

    def __init__(self, reason: str, log: tuple[str, ...] = ()) -> None:
        self.reason = reason
        self.log = log
        super().__init__(reason)


class Candidate(Protocol):
    """A release that runs without traffic. Leaving its context discards it unless promoted."""

    @property
    def client(self) -> Client:
        """Asks it over its own line, without traffic."""

    async def ready(self, deadline: float) -> None:
        """Wait up to `deadline` seconds for it to be ready. Raises CandidateFailed."""

    async def promote(self, record: Mapping[str, Any]) -> None:
        """Commit `record` as what serves, then move the traffic here and drain the old release.

        Raises EnvironmentFailed when it could not be done; the old release then still serves.
        """

    async def discard(self) -> None:
        """End it. Harmless when it has ended or was promoted."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Target(Protocol):
    """One model's place in one environment."""

    async def current(self) -> Served | None:
        """What serves, after repairing what a killed process left; None when nothing should."""

    async def start(self, release: Deployable) -> Candidate:
        """Start `release` without traffic. Raises EnvironmentFailed when it cannot be started."""

    async def stop(self, record: Mapping[str, Any] | None = None) -> bool:
        """Commit `record`, drain what serves and close the port. False when nothing served."""

    async def logs(self, lines: int) -> list[str]:
        """The last lines that the servers wrote, oldest first."""
