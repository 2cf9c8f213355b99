from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from workplace import Workplace


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    place = Workplace(tmp_path_factory.mktemp("workplace"))
    yield place
    place.run("stop", "fraud-detector")
    shutil.rmtree(place.root, ignore_errors=True)
