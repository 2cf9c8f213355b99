"""No request is lost while versions come and go."""

from __future__ import annotations

import anyio
import pytest
from process_harness import Load, deploy, eventually, servers_of

pytestmark = pytest.mark.anyio


async def test_twenty_deploys_and_rollbacks_in_a_row_lose_no_request(target, release, place):
    versions = [release("1.0.0"), release("2.0.0")]
    await deploy(target, versions[0])
    with Load((await target.current()).url) as load:
        for turn in range(1, 21):
            await deploy(target, versions[turn % 2])
        before = load.answers["1.0.0"]
        await anyio.to_thread.run_sync(eventually, lambda: load.answers["1.0.0"] > before + 50)
    assert (load.errors, load.unaccepted) == ([], 0)
    assert load.answers["1.0.0"] > 100
    assert load.answers["2.0.0"] > 100
    assert load.closes > 20
    assert (await target.current()).version == "1.0.0"
    # What drained has ended by itself: only the one that serves is left.
    eventually(lambda: len(servers_of(place)) == 1, seconds=30)


async def test_slow_requests_are_answered_by_the_version_that_took_them(target, release):
    await deploy(target, release("1.0.0", seconds=1.0))
    url = (await target.current()).url
    with Load(url) as load:
        await deploy(target, release("2.0.0"))
        eventually(lambda: load.answers["1.0.0"] >= 4 and load.answers["2.0.0"] > 20)
    assert (load.errors, load.unaccepted) == ([], 0)
