from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator

import pytest
from workplace import Workplace

# What a shell starts in the background ignores SIGINT, and so does all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    place = Workplace(tmp_path_factory.mktemp("workplace"))
    yield place
    place.run("stop", "fraud-detector")
    shutil.rmtree(place.root, ignore_errors=True)
