"""A deploy that is cut short, from within or from without, leaves a state that `status` tells."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from breakable import wire, with_token
from kubectl import kubectl
from place import NAME, Room
from test_faults import still_serves

CLUSTER = Path(os.environ.get("MLIFECYCLE_TEST_CLUSTER", ""))
APPLYING = "applying"
HANGING = "never-ready"  # so that there is time to interrupt it


class Running:
    """A deploy under way, whose progress can be waited for."""

    def __init__(self, room: Room, version: str, fault: str, *options: str) -> None:
        command = room.bringing(version, *options, fault=fault)
        self.log = room.workplace.root / f"{room.namespace}-{version}.log"
        with self.log.open("w") as stream:
            self.process = subprocess.Popen(
                command,
                cwd=room.workplace.root,
                env=room.environment,
                stdout=stream,
                stderr=stream,
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def until(self, text: str, seconds: float = 240.0) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.1)

    def ended(self, seconds: float = 240.0) -> int:
        code = self.process.wait(seconds)
        assert "Traceback" not in self.said, self.said
        return code


@contextlib.contextmanager
def running(room: Room, version: str, fault: str, *options: str) -> Iterator[Running]:
    found = Running(room, version, fault, *options)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.process.kill()
            found.process.wait(30)


@pytest.fixture
def one(room: Room) -> Room:
    """A namespace of the test's own in which 1.2.0 serves."""
    done = room.deploy("1.2.0")
    assert done.returncode == 0, done.stdout + done.stderr
    return room


def eventually(question: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_ctrl_c_puts_back_what_served(one: Room) -> None:
    with running(one, "1.3.0", HANGING) as deploy:
        deploy.until(APPLYING)
        deploy.process.send_signal(signal.SIGINT)
        assert deploy.ended() == 130
    assert "1.2.0 serves again" in deploy.said
    still_serves(one)
    assert f"lease.coordination.k8s.io/mlifecycle-{NAME}" not in one.objects()


def test_a_deploy_that_is_killed_is_put_right_by_the_next(one: Room) -> None:
    with running(one, "1.3.0", HANGING) as deploy:
        deploy.until(APPLYING)
        deploy.process.kill()
        deploy.process.wait(30)
    assert one.status()["state"] in ("changing", "unfinished")
    eventually(lambda: one.status()["state"] == "unfinished")
    status = one.status()
    assert status["version"] == "1.2.0"
    assert "1.3.0" in status["unfinished"]
    assert one.version() == "1.2.0"
    done = one.deploy("1.4.0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "was cut short: putting back what served before" in done.stderr
    still_serves(one, "1.4.0")


def test_a_first_deploy_that_is_killed_is_removed_by_the_next(room: Room) -> None:
    with running(room, "1.2.0", HANGING) as deploy:
        deploy.until(APPLYING)
        deploy.process.kill()
        deploy.process.wait(30)
    done = room.deploy("1.3.0", fault="wrong")
    assert done.returncode == 1, done.stdout + done.stderr
    assert room.objects() == set()


@pytest.mark.alone
def test_an_api_server_that_restarts_is_waited_for(one: Room) -> None:
    with running(one, "1.3.0", "") as deploy:
        deploy.until(APPLYING)
        _kill_api_server()
        assert deploy.ended() == 0, deploy.said
    assert "waiting for the API server" in deploy.said
    # Who watches the API server comes back to it in his own time, the node's agent among them.
    eventually(lambda: one.status()["state"] == "healthy")
    still_serves(one, "1.3.0")


def _kill_api_server() -> None:
    program = CLUSTER.parent / "bin" / "kube-apiserver"
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and (process / "exe").readlink() == program:
                os.kill(int(process.name), signal.SIGKILL)
                return
    pytest.fail("there is no API server to kill")


def test_a_connection_that_is_lost_for_good(one: Room, tmp_path: Path) -> None:
    with (
        wire(tmp_path) as (between, kubeconfig),
        running(one, "1.3.0", HANGING, "--kubeconfig", str(kubeconfig)) as deploy,
    ):
        deploy.until(APPLYING)
        between.cut()
        assert deploy.ended() == 3, deploy.said
    assert "does not answer" in deploy.said
    assert "The change to 1.3.0 is not finished" in deploy.said
    eventually(lambda: one.status()["state"] == "unfinished")
    assert one.version() == "1.2.0"
    assert one.deploy("1.4.0").returncode == 0
    still_serves(one, "1.4.0")


def test_a_token_that_ends_in_the_middle(one: Room, tmp_path: Path) -> None:
    one.kubectl("create", "serviceaccount", "short")
    subject = f"--serviceaccount={one.namespace}:short"
    one.kubectl("create", "rolebinding", "short", "--clusterrole=admin", subject)
    one.kubectl("create", "role", "short", "--verb=*", "--resource=leases.coordination.k8s.io")
    one.kubectl("create", "rolebinding", "leases", "--role=short", subject)
    one.kubectl(
        "create", "role", "slices", "--verb=list", "--resource=endpointslices.discovery.k8s.io"
    )
    one.kubectl("create", "rolebinding", "slices", "--role=slices", subject)
    token = one.kubectl("create", "token", "short").strip()
    kubeconfig = with_token(tmp_path, token)
    with running(one, "1.3.0", HANGING, "--kubeconfig", str(kubeconfig)) as deploy:
        deploy.until(APPLYING)
        one.kubectl("delete", "serviceaccount", "short")
        assert deploy.ended() == 3, deploy.said
    assert "does not accept this account's credentials" in deploy.said
    assert "The change to 1.3.0 is not finished" in deploy.said
    assert token not in deploy.said
    eventually(lambda: one.status()["state"] == "unfinished")
    assert one.version() == "1.2.0"
    # With a token that has ended before, nothing is begun.
    done = one.deploy("1.3.0", "--kubeconfig", str(kubeconfig))
    assert done.returncode == 3
    assert "renew them in the kubeconfig" in done.stderr
    assert one.deploy("1.2.0").returncode == 0
    still_serves(one)


def test_of_two_deploys_at_once_one_waits(one: Room) -> None:
    with running(one, "1.3.0", HANGING, "--timeout", "20") as deploy:
        deploy.until(APPLYING)
        assert one.status()["state"] == "changing"
        refused = one.deploy("1.4.0", "--wait", "0")
        assert refused.returncode == 3
        assert "Another command is at work" in refused.stderr
        followed = one.deploy("1.4.0")
        assert deploy.ended() == 1
    assert followed.returncode == 0, followed.stdout + followed.stderr
    still_serves(one, "1.4.0")


def test_the_deployer_s_account_may_do_what_a_deploy_needs_and_no_more(
    room: Room, tmp_path: Path
) -> None:
    component = Path(__file__).parents[3] / "kustomize" / "components" / "deployer-rbac"
    for name in ("serviceaccount", "role", "rolebinding"):
        room.kubectl("apply", "-f", str(component / f"{name}.yaml"))
    label = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("audit", "warn")]
    kubectl("label", "namespace", room.namespace, "app.kubernetes.io/managed-by=mlifecycle", *label)
    token = room.kubectl("create", "token", "mlifecycle-deployer").strip()
    kubeconfig = with_token(tmp_path, token)
    room.variables["KUBECONFIG"] = str(kubeconfig)
    for version, fault, code in (("1.2.0", "", 0), ("1.3.0", "wrong", 1), ("1.4.0", "", 0)):
        done = room.deploy(version, fault=fault)
        assert done.returncode == code, done.stdout + done.stderr
    for command in ("rollback", "logs", "stop"):
        done = room.run(command, f"{room.namespace}/{NAME}", "--namespace", room.namespace)
        assert done.returncode == 0, done.stdout + done.stderr
    subject = f"system:serviceaccount:{room.namespace}:mlifecycle-deployer"
    for verb, kind in (
        ("get", "secrets"), ("create", "pods"), ("create", "pods/exec"), ("create", "rolebindings"),
        ("patch", "roles"), ("patch", "namespaces"), ("delete", "namespaces"),
    ):  # fmt: skip
        told = ["kubectl", "auth", "can-i", verb, kind, "--as", subject, "-n", room.namespace]
        assert subprocess.run(told, capture_output=True).returncode == 1, f"{verb} {kind}"
