"""The inference server for longer than `make test` takes: described, and overloaded."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "serving"))

from live import Live, live
from overload import LIMITS, overload
from schemathesis_run import run
from served_example import EXAMPLES, RELEASE, settings_of

from serving import model, settings
from serving.app import create_app

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> settings.Settings:
    manifest = yaml.safe_load((EXAMPLES / "model-manifest.yaml").read_text())
    data = (EXAMPLES / "fraud-detector" / "model.pt2").read_bytes()
    folder = tmp_path_factory.mktemp("release")
    (folder / "model").mkdir()
    (folder / "model" / "model.pt2").write_bytes(data)
    (folder / "settings.json").write_text(json.dumps(settings_of(manifest, data)))
    return settings.load(folder, RELEASE)


@pytest.fixture(scope="module")
def running(release: settings.Settings) -> Iterator[Live]:
    with live(create_app(release, model.load(release))) as found:
        yield found


@pytest.mark.parametrize("part", ["all but inference", "inference"])
def test_schemathesis_finds_nothing_in_a_long_run(running: Live, part: str) -> None:
    done = run(f"http://127.0.0.1:{running.port}", part, examples=1000)
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.parametrize("times", [2, 5])
def test_a_long_overload_is_borne(release: Any, times: float) -> None:
    seen, after = overload(release, times, seconds=20)
    assert set(seen.statuses) == {200, 429}
    assert seen.without_retry == 0
    assert seen.longest_queue <= LIMITS.max_queue
    assert seen.grown < 100
    assert after == 200
