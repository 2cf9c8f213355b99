"""Processes are killed at every stage; the next command finds the truth and repairs it."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import anyio
import pytest
from process_harness import (
    Load,
    ask,
    deploy,
    end_processes,
    eventually,
    kill,
    servers_of,
    supervisor_of,
)

import pipeline
from pipeline.errors import EnvironmentFailed
from pipeline.targets import desired
from pipeline.targets.process import ProcessTarget
from pipeline.targets.sockets import address

pytestmark = pytest.mark.anyio


async def test_the_server_goes_on_without_its_supervisor(target, release, place):
    await deploy(target, release("1.0.0"))
    served = await target.current()
    with Load(served.url) as load:
        kill(supervisor_of(place))
        eventually(lambda: not supervisor_of(place))
        before = load.answers["1.0.0"]
        eventually(lambda: load.answers["1.0.0"] > before + 20)
        again = await target.current()
        assert (again.pid, again.url, again.healthy) == (served.pid, served.url, True)
        assert supervisor_of(place)
        await deploy(target, release("2.0.0"))
        eventually(lambda: load.answers["2.0.0"] > 20)
    assert load.errors == []


@pytest.fixture
def older(tmp_path) -> Path:
    """A pipeline with other code for its supervisor."""
    shutil.copytree(Path(pipeline.__file__).parent, tmp_path / "older" / "pipeline")
    with (tmp_path / "older" / "pipeline" / "targets" / "logs.py").open("a") as source:
        source.write("# as it was before\n")
    return tmp_path / "older"


def supervise(place: Path, code: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "pipeline.targets.supervisor", "--folder", str(place)]
    subprocess.run(command, env={"PYTHONPATH": str(code)}, capture_output=True, check=True)


async def test_a_supervisor_with_other_code_makes_room_and_the_server_goes_on(
    target, release, place, older
):
    await deploy(target, release("1.0.0"))
    served = await target.current()
    with Load(served.url) as load:
        kill(supervisor_of(place))
        supervise(place, older)
        former = supervisor_of(place)
        again = await target.current()
        assert supervisor_of(place) not in (0, former)
        await deploy(target, release("2.0.0"))
    assert load.errors == []
    assert (again.pid, again.url, again.healthy) == (served.pid, served.url, True)


async def test_a_supervisor_with_other_code_is_not_sent_away_during_a_deploy(
    target, release, place, older
):
    supervise(place, older)
    with address(place / "control.sock") as name:
        stream = await anyio.connect_unix(name)
    async with stream:
        fake = release("1.0.0", mode="hang")
        start = {"release": fake.digest, "folder": str(fake.folder), "version": "1.0.0"}
        await stream.send(json.dumps({"op": "start", **start}).encode() + b"\n")
        assert json.loads(await stream.receive())["ok"]
        with pytest.raises(EnvironmentFailed, match="another command is at work"):
            await target.current()


async def test_a_killed_server_is_started_again_and_who_connects_meanwhile_waits(target, release):
    await deploy(target, release("1.0.0"))
    served = await target.current()
    kill(served.pid)
    assert ask(served.url)["pid"] != served.pid
    assert (await target.current()).healthy


async def test_after_a_kill_of_both_the_next_command_starts_both_on_the_same_port(
    target, release, place
):
    await deploy(target, release("1.0.0"), run="r1")
    served = await target.current()
    end_processes(place)
    again = await ProcessTarget(place).current()
    assert again.pid != served.pid
    assert (again.url, again.version, again.healthy) == (served.url, "1.0.0", True)
    assert (again.record["run"], again.since) == ("r1", served.since)


async def held(host, port):
    """A listening socket of somebody else's; what was killed may hold the port for a moment yet."""
    with anyio.fail_after(20):
        while True:
            try:
                return socket.create_server((host, port))
            except OSError:
                await anyio.sleep(0.1)


async def test_a_port_taken_meanwhile_is_named(target, release, place):
    await deploy(target, release("1.0.0"))
    url = (await target.current()).url
    end_processes(place)
    host, port = url.removeprefix("http://").split(":")
    taken = pytest.raises(EnvironmentFailed, match=f"{port}: the port is taken")
    with await held(host, int(port)), taken:
        await target.current()
    assert (await target.current()).url == url


async def test_a_stop_after_a_kill_of_both_starts_nothing(target, release, place):
    await deploy(target, release("1.0.0"))
    end_processes(place)
    assert await target.stop({"by": "test"})
    assert target.recorded().record == {"by": "test"}
    assert not target.recorded().serving
    assert (supervisor_of(place), servers_of(place)) == (0, [])
    assert await target.current() is None


async def test_a_server_that_keeps_crashing_is_reported_and_replaced_by_a_deploy(target, release):
    await deploy(target, release("1.0.0", mode="short-lived"))
    url = (await target.current()).url
    with Load(url):
        await anyio.sleep(1.0)
        await deploy(target, release("2.0.0"))
    assert ask(url)["model_version"] == "2.0.0"
    served = await target.current()
    assert (served.version, served.healthy) == ("2.0.0", True)


async def test_a_release_that_no_longer_starts_is_reported_with_the_reason(target, release, place):
    broken = release("1.0.0")
    await deploy(target, broken)
    (broken.folder / "behaviour.json").write_text('{"version": "1.0.0", "mode": "broken"}')
    end_processes(place)
    served = await target.current()
    assert not served.healthy
    assert "weights of another shape" in served.trouble
    await deploy(target, release("2.0.0"))
    assert (await target.current()).healthy


CLIENT = """
    import asyncio, json, sys
    from pathlib import Path
    from types import SimpleNamespace
    from pipeline.targets.process import ProcessTarget

    async def main(place, digest, folder, version):
        release = SimpleNamespace(digest=digest, folder=Path(folder), version=version)
        candidate = await ProcessTarget(Path(place)).start(release)
        print("started", flush=True); sys.stdin.readline()
        await candidate.ready(20)
        print("ready", flush=True); sys.stdin.readline()
        await candidate.promote({"run": "r2"})
        print("promoted", flush=True); sys.stdin.readline()

    asyncio.run(main(*sys.argv[1:]))
"""


class Client:
    """A deploying command in a process of its own, which goes as far as it is told."""

    def __init__(self, place: Path, release) -> None:
        arguments = [str(place), release.digest, str(release.folder), release.version]
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CLIENT), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def until(self, word: str) -> None:
        while (line := self.process.stdout.readline().strip()) != word:
            assert line, "the client ended"
            self.go()

    def go(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.mark.parametrize("stage", ["started", "ready"])
async def test_a_client_killed_before_the_switch_leaves_the_old_version(
    target, release, place, stage
):
    await deploy(target, release("1.0.0"))
    served = await target.current()
    with Client(place, release("2.0.0")) as client:
        client.until(stage)
        assert len(servers_of(place)) == 2
        kill(client.process.pid)
        eventually(lambda: servers_of(place) == [served.pid])
    assert (await target.current()).version == "1.0.0"
    await deploy(target, release("3.0.0"))


async def test_a_client_killed_after_the_switch_leaves_the_new_version_and_its_record(
    target, release, place
):
    await deploy(target, release("1.0.0"))
    with Client(place, release("2.0.0")) as client:
        client.until("promoted")
    served = await target.current()
    assert (served.version, served.record, served.healthy) == ("2.0.0", {"run": "r2"}, True)


@pytest.mark.parametrize("stage", ["started", "ready"])
async def test_client_and_supervisor_killed_before_the_switch(target, release, place, stage):
    await deploy(target, release("1.0.0"))
    served = await target.current()
    with Client(place, release("2.0.0")) as client:
        client.until(stage)
        kill(client.process.pid)
        kill(supervisor_of(place))
    assert (await target.current()).pid == served.pid
    eventually(lambda: servers_of(place) == [served.pid])


@pytest.mark.parametrize("candidate_lives", [True, False])
async def test_supervisor_killed_between_the_commit_and_the_switch(
    target, release, place, candidate_lives
):
    """The commit is on disk and the new server, which is stopped, has not heard of it."""
    await deploy(target, release("1.0.0"))
    old = await target.current()
    with Load(old.url) as load, Client(place, release("2.0.0")) as client:
        client.until("ready")
        (new,) = set(servers_of(place)) - {old.pid}
        os.kill(new, signal.SIGSTOP)
        client.go()
        eventually(lambda: desired.read(place).version == "2.0.0")
        assert ask(old.url)["model_version"] == "1.0.0"
        kill(supervisor_of(place))
        eventually(lambda: not supervisor_of(place))
        if candidate_lives:
            os.kill(new, signal.SIGCONT)
        else:
            kill(new)
            eventually(lambda: servers_of(place) == [old.pid])
        served = await ProcessTarget(place).current()
        assert (served.version, served.record, served.healthy) == ("2.0.0", {"run": "r2"}, True)
        before = load.answers["1.0.0"], load.answers["2.0.0"]
        eventually(lambda: load.answers["2.0.0"] > before[1] + 50)
    assert load.errors == []
    eventually(lambda: servers_of(place) == [served.pid], seconds=30)


async def test_a_candidate_killed_before_its_promotion_changes_nothing(target, release, place):
    await deploy(target, release("1.0.0"))
    old = await target.current()
    async with await target.start(release("2.0.0")) as candidate:
        await candidate.ready(20)
        (new,) = set(servers_of(place)) - {old.pid}
        kill(new)
        with pytest.raises(EnvironmentFailed, match=r"ended by SIGKILL|takes? the traffic"):
            await candidate.promote({})
    assert desired.read(place).version == "1.0.0"
    assert (await target.current()).pid == old.pid


async def test_a_full_disk_at_the_commit_leaves_the_old_version(target, release, place):
    await deploy(target, release("1.0.0"), run="r1")
    old = await target.current()
    async with await target.start(release("2.0.0")) as candidate:
        await candidate.ready(20)
        supervisor = supervisor_of(place)
        limits = resource.prlimit(supervisor, resource.RLIMIT_FSIZE)
        resource.prlimit(supervisor, resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            with pytest.raises(EnvironmentFailed, match="the decision cannot be written"):
                await candidate.promote({"run": "r2"})
        finally:
            resource.prlimit(supervisor, resource.RLIMIT_FSIZE, limits)
    served = await target.current()
    assert (served.pid, served.record["run"], served.healthy) == (old.pid, "r1", True)
    assert json.loads((place / "desired.json").read_text())["version"] == "1.0.0"
    await deploy(target, release("2.0.0"))
    assert (await target.current()).version == "2.0.0"


async def test_a_candidate_whose_owners_are_all_gone_ends_by_itself(target, release, place):
    lonely = release("1.0.0")
    control = lonely.folder / "server" / "serving" / "control.py"
    control.write_text(re.sub(r"ORPHANED = [\d.]+", "ORPHANED = 1.0", control.read_text()))
    candidate = await target.start(lonely)
    await candidate.ready(20)
    kill(supervisor_of(place))
    await candidate.discard()
    eventually(lambda: not servers_of(place), seconds=6)


async def test_a_record_that_we_did_not_write_is_an_error_with_its_name(target, release, place):
    place.mkdir(parents=True)
    (place / "desired.json").write_text("{")
    with pytest.raises(EnvironmentFailed, match=r"desired\.json cannot be read"):
        await target.current()


async def test_a_supervisor_that_is_not_needed_ends(target, release, place):
    async with await target.start(release("1.0.0", mode="hang")):
        assert supervisor_of(place)
    eventually(lambda: not supervisor_of(place), seconds=30)
