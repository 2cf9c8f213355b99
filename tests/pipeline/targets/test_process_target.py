"""The target `process` on its good days and with releases that are not fit to serve."""

from __future__ import annotations

import http.client
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from process_harness import (
    Load,
    ask,
    deploy,
    end_processes,
    eventually,
    servers_of,
    supervisor_of,
)

from pipeline.errors import EnvironmentFailed, InvalidInput
from pipeline.targets import spawn
from pipeline.targets.interface import CandidateFailed
from pipeline.targets.process import ProcessTarget

pytestmark = pytest.mark.anyio


async def test_nothing_serves_and_nothing_is_started_for_the_asking(target, place):
    assert await target.current() is None
    assert not place.exists()


async def test_a_deploy_serves_and_says_so(target, release):
    await deploy(target, release("1.0.0"), run="r1")
    served = await target.current()
    assert served is not None
    assert (served.version, served.healthy, served.trouble) == ("1.0.0", True, "")
    assert served.release == release("1.0.0").digest
    assert served.record == {"version": "1.0.0", "run": "r1"}
    assert served.since <= datetime.now(UTC)
    assert ask(served.url)["pid"] == served.pid


async def test_a_candidate_gets_no_traffic_before_it_is_promoted(target, release):
    await deploy(target, release("1.0.0"))
    url = (await target.current()).url
    async with await target.start(release("2.0.0")) as candidate:
        await candidate.ready(20)
        assert (await candidate.client.get("/model/info")).json()["version"] == "2.0.0"
        assert {ask(url)["model_version"] for _ in range(20)} == {"1.0.0"}
    assert ask(url)["model_version"] == "1.0.0"


async def test_the_port_outlives_versions_and_stops(target, release, place):
    await deploy(target, release("1.0.0"))
    url = (await target.current()).url
    await deploy(target, release("2.0.0"))
    assert (await target.current()).url == url
    assert await target.stop({"by": "test"})
    assert target.recorded().record == {"by": "test"}
    await deploy(ProcessTarget(place), release("1.0.0"))
    assert (await target.current()).url == url


async def test_a_stop_answers_what_is_open_and_refuses_what_is_new(target, release, place):
    await deploy(target, release("1.0.0"))
    host, port = (await target.current()).url.removeprefix("http://").split(":")
    with Load(f"{host}:{port}") as load:
        eventually(lambda: load.answers["1.0.0"] > 20)
        assert await target.stop()
    assert load.errors == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    assert await target.current() is None
    assert not await target.stop()
    eventually(lambda: not servers_of(place) and not supervisor_of(place))


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"mode": "crash"}, "exit code 7: Illegal instruction"),
        ({"mode": "broken"}, "ValueError: weights of another shape"),
        ({"mode": "refused"}, "the model file is not the one"),
        ({"mode": "bad startup"}, "did not start"),
        ({"mode": "unready"}, '/ready answers 503: {"reasons": ["golden"]}'),
    ],
)
async def test_a_release_that_does_not_get_ready_leaves_the_old_one_serving(
    target, release, place, behaviour, reason
):
    await deploy(target, release("1.0.0"))
    async with await target.start(release("2.0.0", **behaviour)) as candidate:
        with pytest.raises(CandidateFailed) as failure:
            await candidate.ready(60)
    assert reason in failure.value.reason
    served = await target.current()
    assert (served.version, served.healthy) == ("1.0.0", True)
    eventually(lambda: servers_of(place) == [served.pid])


async def test_one_that_never_gets_ready_fails_at_the_deadline(target, release):
    async with await target.start(release("2.0.0", mode="hang")) as candidate:
        with pytest.raises(CandidateFailed, match="not ready within 1 s: it is still loading"):
            await candidate.ready(1)
    assert await target.current() is None


async def test_a_release_without_an_interpreter_is_refused(target, release):
    broken = release("1.0.0")
    (broken.folder / "environment" / "bin" / "python").unlink()
    with pytest.raises(EnvironmentFailed, match="No such file"):
        await target.start(broken)


async def test_the_log_tells_why_a_candidate_failed(target, release):
    async with await target.start(release("2.0.0", mode="broken")) as candidate:
        with pytest.raises(CandidateFailed) as failure:
            await candidate.ready(60)
    assert any("weights of another shape" in line for line in failure.value.log)


async def test_logs_of_all_servers_are_kept_in_their_order(target, release):
    await deploy(target, release("1.0.0"))
    await deploy(target, release("2.0.0"))
    assert await target.logs(100) == ["1.0.0 starts", "2.0.0 starts"]
    await target.stop()
    assert await target.logs(1) == ["2.0.0 starts"]


async def test_a_second_deploy_at_once_is_refused(target, release, place):
    async with await target.start(release("1.0.0")) as candidate:
        with pytest.raises(EnvironmentFailed, match=r"another deploy is under way, of version 1"):
            await ProcessTarget(place).start(release("2.0.0"))
        await candidate.ready(20)
        await candidate.promote({})
    await deploy(ProcessTarget(place), release("2.0.0"))


async def test_a_port_that_is_taken_is_named(release, place):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EnvironmentFailed, match=f"{port}: the port is taken") as failure:
            await ProcessTarget(place, port=port).start(release("1.0.0"))
    assert "Free the port" in failure.value.remedy


async def test_a_chosen_port_is_used_and_another_one_refused(release, place):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    await deploy(ProcessTarget(place, port=port), release("1.0.0"))
    assert (await ProcessTarget(place).current()).url == f"http://127.0.0.1:{port}"
    with pytest.raises(InvalidInput, match="stop the deployment first"):
        await ProcessTarget(place, port=port + 1).start(release("2.0.0"))


async def test_a_setting_that_the_server_would_not_get_is_refused(target, release, monkeypatch):
    monkeypatch.setenv("MLIFECYCLE_SERVING_AUTHENTICATION", "keys")
    with pytest.raises(InvalidInput, match="MLIFECYCLE_SERVING_AUTHENTICATION"):
        await target.start(release("1.0.0"))


@pytest.fixture
def leaked(tmp_path, monkeypatch):
    """What a careless caller has open and set when it deploys."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with (tmp_path / "leaked").open("w") as stream:
        os.set_inheritable(stream.fileno(), True)
        yield stream


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at open files in /proc")
async def test_a_server_inherits_little(target, release, leaked):
    async with await target.start(release("1.0.0")) as candidate:
        await candidate.ready(20)
        told = (await candidate.client.get("/process")).json()
    assert "AWS_SECRET_ACCESS_KEY" not in told["environment"]
    assert told["environment"]["PATH"]
    files = told["fds"].values()
    assert told["fds"]["0"] == "/dev/null"
    assert told["fds"]["1"] == told["fds"]["2"]
    assert told["fds"]["1"].endswith(".log")
    assert not [name for name in files if name == leaked.name or "supervisor" in name]
    # the listening socket and the lock that says that it lives
    assert [name for name in files if name.endswith("/lock")]


async def test_a_state_folder_may_lie_deep(tmp_path, release):
    place = tmp_path / ("d" * 100) / ("e" * 100) / "local" / "team" / "model"
    target = ProcessTarget(place)
    try:
        await deploy(target, release("1.0.0"))
        served = await target.current()
        assert served.healthy
        assert ask(served.url)["model_version"] == "1.0.0"
        assert await target.stop()
    finally:
        end_processes(place)


async def test_keep_alive_connections_are_asked_to_close_and_not_cut(target, release):
    await deploy(target, release("1.0.0"))
    url = (await target.current()).url
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    connection.request("POST", "/predict", b"{}")
    assert json.loads(connection.getresponse().read())["model_version"] == "1.0.0"
    await deploy(target, release("2.0.0"))
    connection.request("POST", "/predict", b"{}")
    answer = connection.getresponse()
    assert answer.getheader("connection") == "close"
    assert json.loads(answer.read())["model_version"] == "1.0.0"
    connection.request("POST", "/predict", b"{}")
    assert json.loads(connection.getresponse().read())["model_version"] == "2.0.0"
    connection.close()


def test_the_deployment_folder_is_private(place: Path):
    spawn.supervisor(place, "127.0.0.1", 0)
    assert place.stat().st_mode & 0o077 == 0
    assert (place / "control.sock").stat().st_mode & 0o077 == 0
