from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.tools import database
from pipeline.tools.interface import NoResult

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize("age", [timedelta(), database.AGE_LIMIT, -database.CLOCK_SKEW])
def test_a_fresh_database(age: timedelta) -> None:
    database.judge(NOW - age, NOW)


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (database.AGE_LIMIT + timedelta(seconds=1), "too old: built 2026-11-18, 5 days before"),
        (-database.CLOCK_SKEW - timedelta(seconds=1), "built 2026-11-23, after the scan"),
    ],
)
def test_a_database_of_another_time(age: timedelta, words: str) -> None:
    with pytest.raises(NoResult, match=words):
        database.judge(NOW - age, NOW)
