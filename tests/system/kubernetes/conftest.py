from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator

import pytest
from kubectl import kubectl
from place import Room
from workplace import Workplace


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """One state folder for all: what was built and scanned once is found by its digest."""
    place = Workplace(tmp_path_factory.mktemp("workplace"))
    place.state.mkdir()
    yield place
    shutil.rmtree(place.root, ignore_errors=True)


@pytest.fixture(scope="module")
def rooms(shared: Workplace) -> Iterator[Callable[[], Room]]:
    made: list[str] = []

    def make() -> Room:
        name = f"models-{secrets.token_hex(4)}"
        kubectl("create", "namespace", name)
        kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        made.append(name)
        return Room(shared, name)

    yield make
    for name in made:
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def room(rooms: Callable[[], Room]) -> Room:
    return rooms()


@pytest.fixture(scope="module")
def serving(rooms: Callable[[], Room]) -> Room:
    """A namespace in which 1.2.0 serves."""
    room = rooms()
    done = room.deploy("1.2.0")
    assert done.returncode == 0, done.stdout + done.stderr
    return room
