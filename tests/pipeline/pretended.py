"""Releases, catalogs, observers and a place that do nothing but remember."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import manifest as manifests
from pipeline import runs
from pipeline.catalog.interface import Event, Serving, Version
from pipeline.environment import Environment
from pipeline.inventory import Inventory
from pipeline.line import Line
from pipeline.places.interface import Built, Place
from pipeline.policy.bundle import Bundle
from pipeline.record import StageReport
from pipeline.release_folder import Release
from pipeline.runtimes.interface import Invocation, Outcome, ToolNotFound
from pipeline.state import State
from pipeline.targets.interface import Served

EXAMPLE = Path(__file__).parents[2] / "examples" / "valid" / "model-manifest.yaml"


class Remembered(Release):
    """A release without a folder."""

    inventory = Inventory(())


def release(digest: str, version: str) -> Release:
    parts = (
        *("manifest", "model", "lock", "server", "settings", "environment", "inventory"),
        "program",
    )
    facts = dict.fromkeys((f"{part}_digest" for part in parts), digest)
    return Remembered(
        digest=digest,
        folder=Path("/nowhere") / digest.removeprefix("sha256:"),
        name="fraud-detector",
        namespace="payments-risk",
        version=version,
        python="3.11",
        lane="torch",
        batching="drain",
        **facts,
    )


def served(of: Built, record: Mapping[str, Any]) -> Served:
    return Served(
        release=of.digest,
        version=of.version,
        url="http://127.0.0.1:9",
        pid=1,
        since=datetime.now(UTC),
        healthy=True,
        record=record,
    )


@dataclass
class Known:
    """A catalog that was told `events` and names `serves` as what serves."""

    events: list[Event] = field(default_factory=list)
    serves: list[Serving] = field(default_factory=list)

    def serving(self, name: str, namespace: str, environment: Environment) -> Serving | None:
        return next(iter(self.serves), None)

    def in_service(self, environment: Environment | None = None) -> list[Serving]:
        return self.serves

    def register(self, event: Event) -> None:
        self.events.append(event)

    def history(
        self, name: str, namespace: str, environment: Environment | None = None
    ) -> list[Event]:
        return self.events

    def versions(self, name: str, namespace: str) -> list[Version]:
        return []


@dataclass
class Diary:
    """An observer that writes down what it was told."""

    lines: list[str] = field(default_factory=list)

    def started(self, stage: str) -> None:
        self.lines.append(f"{stage} started")

    def step(self, stage: str, message: str) -> None:
        self.lines.append(f"{stage}: {message}")

    def finished(self, report: StageReport) -> None:
        self.lines.append(f"{report.stage} {report.outcome}")


class Bare:
    """A runtime without any tool."""

    name = "bare"

    async def version(self, tool: str) -> str | None:
        return None

    async def run(self, invocation: Invocation) -> Outcome:
        raise ToolNotFound(invocation.tool, "Install it.")


@dataclass
class Elsewhere:
    """A place whose `diary` says when a deploy was held, and that serves if `serves` is set.

    `image` is what a cluster would pull the release by.
    """

    diary: list[str] = field(default_factory=list)
    known: Known = field(default_factory=Known)
    serves: bool = True
    image: str | None = None
    name: str = "elsewhere"
    runtime: Any = field(default_factory=Bare)
    engine: Any = None

    def versions(self) -> Mapping[str, str]:
        return {"engine": "7"}

    def catalog(self, state: State) -> Known:
        return self.known

    def builder(self, state: State) -> Any:
        return ("builder for", state)

    def reference(self, built: Built) -> str | None:
        return self.image

    @contextlib.asynccontextmanager
    async def deploying(self, line: Line) -> AsyncIterator[None]:
        self.diary.append("held")
        try:
            yield
        finally:
            self.diary.append("let go")

    async def deploy(self, line: Line, built: Built) -> Served | None:
        self.diary.append(f"deploy {built.version}")
        return served(built, {}) if self.serves else None


def line(state: State, place: Place, catalog: Known, observer: Diary, **changes: Any) -> Line:
    """The example on its way, with no policies."""
    environment = changes.pop("environment", Environment.LOCAL)
    run = runs.start(
        state, command="deploy", manifest=EXAMPLE, environment=environment, runtime=place.name
    )
    settings: dict[str, Any] = {
        "environment": environment,
        "manifest": manifests.load(EXAMPLE),
        "bundle": Bundle({}, {}, {}, {}, "sha256:none"),
        "state": state,
        "place": place,
        "catalog": catalog,
        "run": run,
        "observer": observer,
        "wait": 0.0,
    }
    return Line(**(settings | changes))
