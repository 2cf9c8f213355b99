from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator

import pytest
from workplace import Workplace

# What a shell starts in the background ignores SIGINT, and so does all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The longest files of a run, the longest first.
LONG = (
    "test_whole_image", "test_docs", "test_into_cluster", "test_killed_engine",
    "test_interruptions", "test_main_job", "test_deploying", "test_refusals",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with them, or one worker would be busy with them long after the others."""
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    place = Workplace(tmp_path_factory.mktemp("workplace"))
    yield place
    place.run("stop", "fraud-detector")
    shutil.rmtree(place.root, ignore_errors=True)
