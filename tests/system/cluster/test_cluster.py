"""What the tests of deploying to Kubernetes rely on: that this cluster is one, and lives on."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1]))

from kubectl import kubectl

CLUSTER = Path(os.environ.get("MLIFECYCLE_TEST_CLUSTER", ""))
SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.getuid()} {os.access('/', os.W_OK)}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


def eventually(question: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, f"not so within {seconds:.0f} s"
        time.sleep(0.2)


def image() -> str:
    """Debian with Python, by its digest in the registry that the kubelet pulls from."""
    repository = f"{os.environ['MLIFECYCLE_TEST_REGISTRY']}/library/python"
    crane = Path(os.environ["MLIFECYCLE_TEST_TOOLS"]) / "crane"
    told = [str(crane), "digest", "--insecure", f"{repository}:3.11-slim"]
    done = subprocess.run(told, capture_output=True, text=True, check=True)
    return f"{repository}@{done.stdout.strip()}"


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    name = f"cluster-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    # As strict as a namespace can be: what is not restricted is not let in.
    kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def service(namespace: str) -> str:
    """The path of a service's answers, asked through the API server."""
    labels = {"app": "probe"}
    container = {
        "name": "server",
        "image": image(),
        "command": ["python3", "-c", SERVER],
        "ports": [{"containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
    }
    objects = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "probe", "namespace": namespace},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "probe", "namespace": namespace},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]},
        },
    ]
    given = {"apiVersion": "v1", "kind": "List", "items": objects}
    kubectl("apply", "--server-side", "--filename", "-", given=given)
    kubectl("--namespace", namespace, "rollout", "status", "deployment/probe", "--timeout=90s")
    return f"/api/v1/namespaces/{namespace}/services/probe:80/proxy/"


def test_a_pod_runs_as_confined_as_it_asked(service: str) -> None:
    assert kubectl("get", "--raw", service) == "10001 False"


def test_a_pod_that_is_not_restricted_is_refused(namespace: str) -> None:
    told = ["kubectl", "--namespace", namespace, "run", "root", f"--image={image()}"]
    done = subprocess.run(told, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "violates PodSecurity" in done.stderr


@pytest.mark.alone
def test_an_api_server_that_is_killed_comes_back(service: str) -> None:
    program = CLUSTER.parent / "bin" / "kube-apiserver"
    found = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _runs(entry, program)
    ]
    assert len(found) == 1
    os.kill(found[0], signal.SIGKILL)
    eventually(lambda: not _runs(Path(f"/proc/{found[0]}"), program))

    def answers() -> bool:
        told = ["kubectl", "get", "--raw", service]
        return subprocess.run(told, capture_output=True, timeout=60).returncode == 0

    eventually(answers)


def _runs(process: Path, program: Path) -> bool:
    try:
        return (process / "exe").readlink() == program
    except OSError:
        return False


def test_the_pods_network_is_hidden_from_the_machine(service: str) -> None:
    """Other container engines hold what they see, and pods would never end."""
    mounts = Path("/proc/self/mounts").read_text()
    assert "/run/netns/cni-" not in mounts
    assert str(CLUSTER) not in mounts


def test_pods_end_when_they_are_told(namespace: str, service: str) -> None:
    kubectl("--namespace", namespace, "delete", "deployment", "probe", "--timeout=60s")

    def gone() -> bool:
        return not json.loads(kubectl("--namespace", namespace, "get", "pods", "-o", "json"))[
            "items"
        ]

    eventually(gone)
