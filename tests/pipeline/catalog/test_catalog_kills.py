"""A command killed between any two writes to MLflow, and two commands at once.

Every kill gets a model of its own in one database: opening a database per kill would take most of
the time.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.catalog import connection
from pipeline.catalog.interface import Event
from pipeline.catalog.registry import MlflowCatalog
from pipeline.environment import Environment
from pipeline.state import State

TEAM = "payments-risk"
LOCAL = Environment.LOCAL


def release(number: int) -> str:
    return f"sha256:{number:064x}"


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Faulty:
    """A client that is killed before its write number `at`, counted from 0.

    A kill after a write, or at a read, leaves what a kill before the next write leaves.
    """

    def __init__(self, client: Any, at: int) -> None:
        self.client, self.at, self.writes = client, at, 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self.client, name)
        if name.startswith(("get_", "search_")):
            return method

        def write(*positional: Any, **named: Any) -> Any:
            if self.writes == self.at:
                raise Killed(name)
            self.writes += 1
            return method(*positional, **named)

        return write


def kills(state: State, before: list[Event], event: Event) -> Iterator[tuple[str, Event]]:
    """For every write that telling `event` makes: a model, by name, for which it was killed there.

    `before` is what each model saw earlier. The name goes with the event for that model.
    """
    at = 0
    while True:
        name = f"model-{at}"
        for earlier in before:
            MlflowCatalog(state).register(earlier.model_copy(update={"name": name}))
        mine = event.model_copy(update={"name": name})

        def faulty(address: Any, at: int = at) -> Any:
            return Faulty(connection.connect(address), at)

        try:
            MlflowCatalog(state, connect=faulty).register(mine)
        except Killed:
            yield name, mine
            at += 1
        else:
            assert at >= 5
            return


def facts(catalog: MlflowCatalog, name: str) -> tuple[Any, ...]:
    """All that the catalog and MLflow show of a model, without its name and MLflow's own ids."""
    client = connection.connect(catalog.address)
    experiment = client.get_experiment_by_name(f"mlifecycle/{TEAM}/{name}")
    runs = client.search_runs([experiment.experiment_id])
    serving = catalog.serving(name, TEAM, LOCAL)
    return (
        serving.model_dump(exclude={"name"}) if serving else None,
        [event.model_dump(exclude={"name"}) for event in catalog.history(name, TEAM)],
        [(version.number, version.release) for version in catalog.versions(name, TEAM)],
        client.get_registered_model(f"{TEAM}.{name}").aliases,
        sorted((run.data.tags["mlifecycle.run"], run.info.status) for run in runs),
        sorted((run.data.tags["mlifecycle.run"], run.data.metrics["accuracy"]) for run in runs),
    )


@pytest.mark.parametrize("kind", ["first", "next", "stop"])
def test_telling_again_completes_what_a_kill_cut_short(
    catalog: MlflowCatalog, state: State, tell: Any, kind: str
) -> None:
    before, event = {
        "first": ([], tell(1)),
        "next": ([tell(1)], tell(2, version="1.1.0", release=release(2))),
        "stop": ([tell(1)], tell(2, kind="stop")),
    }[kind]
    for told in [*before, event]:
        catalog.register(told)
    expected = facts(catalog, event.name)
    for name, mine in kills(state, before, event):
        catalog.register(mine)
        assert facts(catalog, name) == expected, name


def test_what_was_cut_short_moves_nothing_once_another_came(
    catalog: MlflowCatalog, state: State, tell: Any
) -> None:
    first, cut = tell(1), tell(2, version="1.1.0", release=release(2))
    late = 0
    for name, mine in kills(state, [first], cut):
        if len(catalog.history(name, TEAM)) == 1:
            continue  # killed before it left a trace: told later, it is a new event
        late += 1
        catalog.register(tell(3, version="1.2.0", release=release(3), name=name))
        catalog.register(mine)
        serving = catalog.serving(name, TEAM, LOCAL)
        assert serving is not None
        assert serving.run == "run-3"
        runs = [event.run for event in catalog.history(name, TEAM)]
        assert runs == ["run-3", "run-2", "run-1"]
        model = connection.connect(catalog.address).get_registered_model(f"{TEAM}.{name}")
        numbers = {v.release: v.number for v in catalog.versions(name, TEAM)}
        assert model.aliases == {"local": numbers[release(3)]}
    assert late >= 5


def _tell_all(root: Path, events: list[Event]) -> None:
    catalog = MlflowCatalog(State(root))
    for event in events:
        catalog.register(event)


def test_two_commands_at_once_enter_each_event_once(state: State, tell: Any) -> None:
    shared = [tell(run) for run in (1, 2)]
    own = [[tell(run, version=f"2.{run}.0", release=release(run))] for run in (3, 4)]
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_tell_all, args=(state.root, shared + mine)) for mine in own]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    catalog = MlflowCatalog(state)
    history = catalog.history("fraud-detector", TEAM)
    assert [event.run for event in history] == ["run-4", "run-3", "run-2", "run-1"]
    assert len(catalog.versions("fraud-detector", TEAM)) == 3
