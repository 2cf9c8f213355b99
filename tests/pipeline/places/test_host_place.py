"""This machine as a place: what a deploy is held by, and what it leaves behind.

How releases are made is in stages/test_build.py, how they take over in test_rollout.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anyio
import pytest
from pretended import Diary, Known, line, release, served

from pipeline import rollout, runs
from pipeline.catalog.interface import Event, Kind
from pipeline.catalog.registry import MlflowCatalog
from pipeline.environment import Environment
from pipeline.errors import Busy, EnvironmentFailed, InvalidInput
from pipeline.line import Line
from pipeline.manifest import Manifest
from pipeline.places.host import HostPlace
from pipeline.places.interface import Place
from pipeline.record import Outcome
from pipeline.release_folder import Release
from pipeline.state import State
from pipeline.targets import desired
from pipeline.targets.interface import Served
from pipeline.targets.process import ProcessTarget

pytestmark = pytest.mark.anyio

RELEASE = release("sha256:" + "1" * 64, "1.1.0")
Begin = Callable[..., Line]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.fixture
def begin(state: State, known: Known) -> Begin:
    """A deploy of the example that has begun."""

    def make(place: Place, observer: Diary | None = None, **changes: Any) -> Line:
        return line(state, place, known, observer or Diary(), **changes)

    return make


def folder_of(under_way: Line) -> Path:
    return under_way.state.deployment(under_way.environment, "payments-risk", "fraud-detector")


def commit(under_way: Line, *, port: int = 5000, serving: bool = True) -> Event:
    """What a deploy leaves that was killed between the switch and telling the catalog."""
    event = rollout.event_of(
        Kind.DEPLOY, under_way.manifest, RELEASE, under_way.environment, under_way.record
    )
    wanted = desired.Desired(
        serving=serving,
        release=RELEASE.digest,
        folder="../../release",
        version=RELEASE.version,
        instance="one",
        host="127.0.0.1",
        port=port,
        since=datetime.now(UTC).isoformat(),
        record=event.model_dump(mode="json"),
    )
    desired.write(folder_of(under_way), wanted)
    return event


def test_it_is_this_machine() -> None:
    place: Place = HostPlace()
    assert (place.name, place.runtime.name, place.engine.name) == ("host", "host", "rego-cpp")
    assert place.versions() == {"regopy": version("regopy"), "uv": version("uv")}


def test_the_catalog_is_in_the_state_folder_or_where_mlflow_is_told(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    catalog = HostPlace().catalog(state)
    assert isinstance(catalog, MlflowCatalog)
    assert catalog.address.database == state.root / "catalog.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    catalog = HostPlace().catalog(state)
    assert isinstance(catalog, MlflowCatalog)
    assert catalog.address.database is None
    assert not state.root.exists()


async def test_one_deploy_of_a_model_waits_for_the_other(begin: Begin) -> None:
    diary = Diary()
    first, second = begin(HostPlace()), begin(HostPlace(), diary, wait=20.0)
    order: list[str] = []

    async def later() -> None:
        async with second.place.deploying(second):
            order.append("second")

    async with anyio.create_task_group() as group, first.place.deploying(first):
        group.start_soon(later)
        await anyio.wait_all_tasks_blocked()
        assert len(diary.lines) == 1
        order.append("first")
    assert order == ["first", "second"]
    assert diary.lines[0].startswith("validate: ")


async def test_who_does_not_want_to_wait_is_told_that_it_is_busy(begin: Begin) -> None:
    first, second = begin(HostPlace()), begin(HostPlace())
    async with first.place.deploying(first):
        with pytest.raises(Busy):
            async with second.place.deploying(second):
                pytest.fail("two at once")


async def test_another_environment_is_not_held_up(begin: Begin) -> None:
    first, second = begin(HostPlace()), begin(HostPlace(), environment=Environment.DEV)
    async with first.place.deploying(first), second.place.deploying(second):
        assert folder_of(first) != folder_of(second)


async def test_a_deploy_that_fails_lets_the_next_one_in(begin: Begin) -> None:
    under_way = begin(HostPlace())
    for _ in range(2):
        with pytest.raises(EnvironmentFailed, match="broken"):
            async with under_way.place.deploying(under_way):
                raise EnvironmentFailed("It is broken.")


async def test_what_a_killed_deploy_could_not_tell_the_catalog_is_told_first(
    begin: Begin, known: Known
) -> None:
    event = commit(begin(HostPlace()))
    under_way = begin(HostPlace())
    async with under_way.place.deploying(under_way):
        assert known.events == [event]


async def test_another_port_than_the_one_in_use_is_refused(begin: Begin, known: Known) -> None:
    under_way = begin(HostPlace(6000))
    commit(under_way, port=5000)
    with pytest.raises(InvalidInput, match="5000, where this deployment listens"):
        async with under_way.place.deploying(under_way):
            pytest.fail("it was let in")
    assert known.events == []


@pytest.mark.parametrize(("port", "serving"), [(5000, True), (None, True), (6000, False)])
async def test_a_port_that_fits_is_not(begin: Begin, port: int | None, serving: bool) -> None:
    under_way = begin(HostPlace(port))
    commit(under_way, port=5000, serving=serving)
    async with under_way.place.deploying(under_way):
        pass


@dataclasses.dataclass
class TakeOver:
    """What a rollout was asked, and what it came to."""

    served: Served | None = None
    change: rollout.Rollout | None = None
    event: Event | None = None


@pytest.fixture
def take_over(monkeypatch: pytest.MonkeyPatch) -> TakeOver:
    asked = TakeOver()

    async def remember(
        change: rollout.Rollout, built: Release, manifest: Manifest, event: Event
    ) -> Served | None:
        asked.change, asked.event = change, event
        return asked.served

    monkeypatch.setattr(rollout.Rollout, "take_over", remember)
    return asked


def finished(state: State, count: int) -> list[str]:
    """Older runs, each ended; the newest last."""
    names = [f"20250101T00{number:02}00000Z-000000" for number in range(count)]
    for name in names:
        run = runs.start(
            state, command="govern", manifest="m", environment=Environment.LOCAL, runtime="host"
        )
        run.finish(Outcome.PASSED)
        run.folder.rename(state.runs / name)
    return names


async def test_a_release_goes_into_service_by_a_rollout(
    begin: Begin, take_over: TakeOver, known: Known
) -> None:
    take_over.served = served(RELEASE, {})
    under_way = begin(HostPlace())
    assert await under_way.place.deploy(under_way, RELEASE) is take_over.served
    change, event = take_over.change, take_over.event
    assert change is not None
    assert event is not None
    assert isinstance(change.target, ProcessTarget)
    assert (change.catalog, change.releases) == (known, under_way.state.releases)
    assert (event.kind, event.run, event.release) == (
        Kind.DEPLOY,
        under_way.record.id,
        RELEASE.digest,
    )


async def test_old_runs_go_but_not_the_evidence_of_what_serves(
    begin: Begin, take_over: TakeOver, known: Known, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "KEPT", 2)
    old = finished(state, 4)
    under_way = begin(HostPlace())
    take_over.served = served(RELEASE, {})
    event = commit(under_way).model_copy(update={"run": old[1]})
    known.serves = [serving for serving in [event.serving] if serving is not None]
    await under_way.place.deploy(under_way, RELEASE)
    assert {path.name for path in state.runs.glob("2*")} == {under_way.record.id, old[1], old[3]}


async def test_a_deploy_that_was_denied_removes_nothing(
    begin: Begin, take_over: TakeOver, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "KEPT", 0)
    old = finished(state, 2)
    under_way = begin(HostPlace())
    assert await under_way.place.deploy(under_way, RELEASE) is None
    assert all((state.runs / name).is_dir() for name in old)


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """A release that was not made here."""

    installed: str = "a file system in an engine"


async def test_what_was_made_elsewhere_cannot_come_into_service_here(
    begin: Begin, take_over: TakeOver
) -> None:
    under_way, foreign = begin(HostPlace()), Elsewhere()
    with pytest.raises(TypeError, match="release folders"):
        await under_way.place.deploy(under_way, foreign)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="on its disk"):
        await under_way.place.builder(under_way.state).examine(foreign)  # type: ignore[arg-type]
    assert take_over.change is None


async def test_an_environment_that_is_gone_is_not_an_empty_one(begin: Begin) -> None:
    under_way = begin(HostPlace())
    with pytest.raises(EnvironmentFailed, match="no virtual environment"):
        await under_way.place.builder(under_way.state).examine(RELEASE)
