from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from pipeline.errors import EnvironmentFailed
from pipeline.exclusive import exclusively
from pipeline.state import locked


def test_a_held_lock_is_waited_for_and_told_once(tmp_path: Path) -> None:
    order: list[str] = []

    async def first(holding: anyio.Event) -> None:
        async with exclusively(tmp_path / "lock", wait=60, on_wait=order.append):
            holding.set()
            # Ends only once the other task has had its turn to wait.
            while len(order) < 1:  # noqa: ASYNC110 - told by a plain callback
                await anyio.sleep(0.01)
            order.append("first ends")

    async def second(holding: anyio.Event) -> None:
        await holding.wait()
        async with exclusively(tmp_path / "lock", wait=60, on_wait=order.append):
            order.append("second")

    async def both() -> None:
        holding = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(first, holding)
            group.start_soon(second, holding)

    anyio.run(both)
    assert "is at work" in order[0]
    assert order[1:] == ["first ends", "second"]


def test_waiting_ends_with_an_error_that_names_the_holder(tmp_path: Path) -> None:
    async def wait() -> None:
        async with exclusively(tmp_path / "lock", wait=0, on_wait=lambda message: None):
            pytest.fail("two held the lock")

    with (
        locked(tmp_path / "lock", wait=0),
        pytest.raises(EnvironmentFailed, match=r"process \d+"),
    ):
        anyio.run(wait)


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    async def fail() -> None:
        async with exclusively(tmp_path / "lock", wait=0, on_wait=print):
            raise RuntimeError

    for _ in range(2):
        with pytest.raises(RuntimeError):
            anyio.run(fail)
