"""A canary takes its share of the requests, and is promoted or removed by its own numbers."""

from __future__ import annotations

import pytest
from place import NAME, Room
from test_faults import still_serves

pytestmark = pytest.mark.alone


def test_a_canary_that_is_good_is_promoted(room: Room) -> None:
    assert room.deploy("1.2.0").returncode == 0
    done = room.deploy("1.3.0", "--canary", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ canary" in done.stderr
    still_serves(room, "1.3.0")
    assert f"deployment.apps/{NAME}-canary" not in room.objects()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("errors", "The canary fails more often"),
        ("slower", "The canary answers more slowly"),
        ("unmeasured", "Too little is known of the canary"),
        ("crash", "its server ends again and again"),
    ],
)
def test_a_canary_that_is_no_good_is_removed(serving: Room, fault: str, said: str) -> None:
    done = serving.deploy("1.3.0", "--canary", "1", "--timeout", "40", fault=fault)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout
    still_serves(serving)
    assert f"deployment.apps/{NAME}-canary" not in serving.objects()


def test_a_first_deploy_needs_no_canary(room: Room) -> None:
    done = room.deploy("1.2.0", "--canary", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "canary" not in done.stderr
