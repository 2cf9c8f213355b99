"""The order of a change of what serves, with a target and a catalog that only remember."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from pretended import EXAMPLE, release, served

from pipeline import manifest as manifests
from pipeline import rollout
from pipeline.catalog.interface import Event, Kind, Serving, Version
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed
from pipeline.manifest import Manifest
from pipeline.record import Outcome, RunRecord, StageReport
from pipeline.release_folder import Release
from pipeline.stages import verify
from pipeline.stages.interface import Context
from pipeline.targets.interface import CandidateFailed, Served
from pipeline.verdict import Violation

OLD, NEW = "sha256:" + "0" * 64, "sha256:" + "1" * 64


def event(of: Release, environment: Environment = Environment.LOCAL) -> Event:
    record = RunRecord(
        id="20261123T000000000Z-abcdef",
        command="deploy",
        manifest="m.yaml",
        environment=environment,
        runtime="host",
        started=datetime.now(UTC),
        pid=1,
    )
    return rollout.event_of(Kind.DEPLOY, manifests.load(EXAMPLE), of, environment, record)


@dataclass
class Place:
    """A target and a catalog in one, and the diary of what was asked of them."""

    diary: list[str] = field(default_factory=list)
    serves: Served | None = None
    events: list[Event] = field(default_factory=list)
    unready: str = ""

    async def current(self) -> Served | None:
        return self.serves

    async def start(self, release: Any) -> Started:
        self.diary.append(f"start {release.version}")
        return Started(self, release)

    async def stop(self, record: Mapping[str, Any] | None = None) -> bool:
        self.diary.append("stop")
        self.serves = None
        return True

    async def logs(self, lines: int) -> list[str]:
        return []

    def serving(self, name: str, namespace: str, environment: Environment) -> Serving | None:
        return None

    def in_service(self, environment: Environment | None = None) -> list[Serving]:
        return []

    def register(self, event: Event) -> None:
        self.diary.append(f"register {event.kind} {event.version}")

    def history(
        self, name: str, namespace: str, environment: Environment | None = None
    ) -> list[Event]:
        return self.events

    def versions(self, name: str, namespace: str) -> list[Version]:
        return []


@dataclass
class Started:
    place: Place
    release: Release
    client: Any = None

    async def ready(self, deadline: float) -> None:
        self.place.diary.append(f"ready {self.release.version}")
        if self.place.unready:
            raise CandidateFailed(self.place.unready, ("its last words",))

    async def promote(self, record: Mapping[str, Any]) -> None:
        self.place.diary.append(f"promote {self.release.version}")
        self.place.serves = served(self.release, record)

    async def discard(self) -> None:
        self.place.diary.append(f"discard {self.release.version}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass
class Bench:
    """A rollout whose verification says what the test wants, by place (`where`)."""

    place: Place
    manifest: Manifest
    change: rollout.Rollout
    reports: list[StageReport]
    wrong: set[str]

    async def take_over(self, new: Release, of: Event) -> Served | None:
        return await self.change.take_over(new, self.manifest, of)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    place, reports, wrong = Place(), [], set[str]()

    class Told:
        def step(self, message: str) -> None: ...

    def open_stage(stage: str) -> Context:
        nothing: Any = None
        return Context(*(nothing,) * 6, run_folder=tmp_path, progress=Told())

    def keep(report: StageReport) -> bool:
        reports.append(report)
        place.diary.append(f"{report.stage} {report.outcome}")
        return report.outcome is Outcome.PASSED

    async def asked(
        context: Context, client: Any, manifest: Manifest, release: str, where: str
    ) -> StageReport:
        violation = Violation(
            id="VF-GLD-001", title="t", path="p", actual=None, expected="e", remedy="r"
        )
        bad = where in wrong
        return StageReport(
            stage="verify",
            outcome=Outcome.DENIED if bad else Outcome.PASSED,
            summary=where,
            violations=(violation,) if bad else (),
        )

    class Reply:
        body = b"{}"

    class Client:
        async def post(self, path: str, body: Any) -> Reply:
            return Reply()

        def close(self) -> None: ...

    monkeypatch.setattr(verify, "run", asked)
    monkeypatch.setattr(rollout.HttpClient, "url", lambda url: Client())
    monkeypatch.setattr(Release, "open", lambda folder: release(OLD, "1.0.0"))
    change = rollout.Rollout(open_stage, keep, place, place, tmp_path)
    return Bench(place, manifests.load(EXAMPLE), change, reports, wrong)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


async def test_traffic_moves_after_the_proof_and_the_catalog_is_told_last(bench: Bench) -> None:
    new = release(NEW, "1.1.0")
    assert await bench.take_over(new, event(new)) is not None
    assert bench.place.diary == [
        "start 1.1.0",
        "ready 1.1.0",
        "deploy passed",
        "verify passed",
        "promote 1.1.0",
        "verify passed",
        "register deploy 1.1.0",
        "register passed",
    ]
    assert bench.reports[-2].outputs["try"].startswith("curl ")


async def test_a_wrong_answer_without_traffic_leaves_the_old_one(bench: Bench) -> None:
    old = release(OLD, "1.0.0")
    bench.place.serves = before = served(old, event(old).model_dump(mode="json"))
    bench.wrong.add(rollout.WITHOUT_TRAFFIC)
    new = release(NEW, "1.1.0")
    assert await bench.take_over(new, event(new)) is None
    assert bench.place.serves is before
    assert bench.place.diary[-1] == "verify denied"
    assert not any(line.startswith(("promote", "register")) for line in bench.place.diary)


async def test_one_that_does_not_get_ready_is_discarded_with_its_log(bench: Bench) -> None:
    bench.place.unready = "it crashed"
    new = release(NEW, "1.1.0")
    assert await bench.take_over(new, event(new)) is None
    assert bench.place.diary[-2:] == ["discard 1.1.0", "deploy denied"]
    (violation,) = bench.reports[-1].violations
    assert violation.id == "DP-RDY-001"
    assert "its last words" in str(violation.actual)


async def test_one_that_fails_under_traffic_is_taken_back(bench: Bench) -> None:
    old = release(OLD, "1.0.0")
    bench.place.serves = served(old, event(old).model_dump(mode="json"))
    bench.wrong.add(rollout.IN_SERVICE)
    new = release(NEW, "1.1.0")
    assert await bench.take_over(new, event(new)) is None
    assert bench.place.serves.release == OLD
    assert bench.place.diary[bench.place.diary.index("promote 1.1.0") :] == [
        "promote 1.1.0",
        "verify denied",
        "register deploy 1.1.0",
        "start 1.0.0",
        "ready 1.0.0",
        "promote 1.0.0",
        "register rollback 1.0.0",
        "rollback passed",
    ]


async def test_a_first_one_that_fails_under_traffic_is_withdrawn(bench: Bench) -> None:
    bench.wrong.add(rollout.IN_SERVICE)
    new = release(NEW, "1.1.0")
    assert await bench.take_over(new, event(new)) is None
    assert bench.place.serves is None
    assert bench.place.diary[bench.place.diary.index("promote 1.1.0") :] == [
        "promote 1.1.0",
        "verify denied",
        "register deploy 1.1.0",
        "stop",
        "register stop 1.1.0",
        "rollback passed",
    ]


async def test_what_serves_already_is_verified_and_not_started_again(bench: Bench) -> None:
    new = release(NEW, "1.1.0")
    told = event(new)
    bench.place.serves = served(new, told.model_dump(mode="json"))
    assert await bench.take_over(new, event(new)) is bench.place.serves
    assert bench.place.diary == [
        "deploy passed",
        "verify passed",
        "register deploy 1.1.0",
        "register passed",
    ]


@pytest.mark.parametrize("environment", [Environment.STAGING, Environment.PROD])
async def test_a_version_that_has_served_means_one_release(
    bench: Bench, environment: Environment
) -> None:
    old, new = release(OLD, "1.0.0"), release(NEW, "1.0.0")
    bench.place.events = [event(old, environment)]
    assert await bench.take_over(new, event(new, environment)) is None
    assert [v.id for v in bench.reports[-1].violations] == ["DP-VER-001"]
    assert not any(line.startswith("start") for line in bench.place.diary)


async def test_a_switch_after_which_nothing_serves_is_a_failure(bench: Bench) -> None:
    class Vanishing(Place):
        async def current(self) -> Served | None:
            return None

    place = Vanishing(bench.place.diary)
    change = rollout.Rollout(
        bench.change.open_stage, bench.change.keep, place, place, bench.change.releases
    )
    new = release(NEW, "1.1.0")
    with pytest.raises(EnvironmentFailed):
        await change.take_over(new, bench.manifest, event(new))
