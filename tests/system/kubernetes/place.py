"""A namespace of a test's own in the cluster, a submission to deploy there, and images of it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import ssl
import subprocess
import sys
import tarfile
import urllib.request
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml

sys.path.append(str(Path(__file__).parents[1]))

from kubectl import kubectl
from workplace import REPOSITORY, Workplace

from pipeline import digest

SERVER = Path(__file__).with_name("server.py")
BRING = Path(__file__).with_name("bring.py")
NAME = "fraud-detector"
_EXAMPLE = yaml.safe_load((REPOSITORY / "examples/valid/model-manifest.yaml").read_text())
REQUEST = {"instances": [_EXAMPLE["spec"]["inference"]["golden_inputs"][0]["instance"]]}


def crane(*arguments: str) -> str:
    program = Path(os.environ["MLIFECYCLE_TEST_TOOLS"]) / "crane"
    done = subprocess.run(
        [str(program), "--insecure", *arguments], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass
class Room:
    """One namespace, and one submission in it."""

    workplace: Workplace
    namespace: str
    variables: dict[str, str] = field(default_factory=dict)

    def manifest(self, version: str = "1.2.0", **changes: Any) -> Path:
        """The submission's manifest as that version; `changes` go into `spec`."""
        path = self.workplace.submission("submission", **changes)
        document = json.loads(path.read_text())
        document["metadata"]["namespace"] = self.namespace
        spec = document["spec"]
        spec["model"]["version"] = version
        # A machine that others use as well answers late now and then.
        spec["rollback"]["triggers"]["latency_p99"]["threshold"] = "1s"
        spec["inference"] = {
            **spec["inference"],
            "readinessCheck": {"path": "/ready", "period_seconds": 1, "initial_delay_seconds": 0},
            "resources": {
                "requests": {"cpu": "20m", "memory": "48Mi"},
                "limits": {"cpu": "1", "memory": "96Mi"},
            },
            **changes.get("inference", {}),
        }
        path.write_text(json.dumps(document))
        return path

    def image(self, manifest: Path, fault: str = "") -> str:
        """An image of the manifest's model, with a fault or none; its reference by digest."""
        spec = json.loads(manifest.read_text())["spec"]
        settings = {
            "model": {
                "name": spec["model"]["name"],
                "version": spec["model"]["version"],
                "digest": digest.of_file(manifest.parent / "fraud-detector" / "model.pt2"),
            },
            "signature": spec["signature"],
            "golden_inputs": spec["inference"]["golden_inputs"],
        }
        files = {
            "release/settings.json": json.dumps(settings).encode(),
            "release/server.py": SERVER.read_bytes(),
        }
        layer = BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            for name, data in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                entry.mode = 0o644
                archive.addfile(entry, BytesIO(data))
        room = self.workplace.root / f"layer-{secrets.token_hex(4)}.tar"
        room.write_bytes(layer.getvalue())
        release = "sha256:" + hashlib.sha256(layer.getvalue() + fault.encode()).hexdigest()
        registry = os.environ["MLIFECYCLE_TEST_REGISTRY"]
        base = f"{registry}/library/python:3.11-slim"
        repository = f"{registry}/tests/{NAME}"
        tag = f"{repository}:{secrets.token_hex(8)}"
        crane("append", "--base", base, "--new_layer", str(room), "--new_tag", tag)
        room.unlink()
        crane(
            "mutate", tag, "--tag", tag, "--user", "10001:10001",
            "--entrypoint", "python3,-I,/release/server.py",
            "--env", f"FAULT={fault}", "--env", f"MLIFECYCLE_RELEASE_DIGEST={release}",
        )  # fmt: skip
        return f"{repository}@{crane('digest', tag)}"

    def command(self, *arguments: str) -> list[str]:
        return self.workplace.command(*arguments, "--target", "kubernetes")

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "MLIFECYCLE_TOOLS": os.environ["MLIFECYCLE_TEST_TOOLS"],
            **self.variables,
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`mlifecycle` with these arguments, on this cluster."""
        return self._done(self.command(*arguments))

    def _done(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.workplace.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def bringing(self, version: str, *options: str, fault: str = "", **changes: Any) -> list[str]:
        """The command that brings that version, with a fault or none, into the cluster."""
        manifest = self.manifest(version, **changes)
        given = [str(manifest), self.image(manifest, fault), str(self.workplace.state)]
        return [sys.executable, str(BRING), *given, *options]

    def deploy(
        self, version: str, *options: str, fault: str = "", **changes: Any
    ) -> subprocess.CompletedProcess[str]:
        """Bring that version, with a fault or none, into the cluster."""
        return self._done(self.bringing(version, *options, fault=fault, **changes))

    def deploy_whole(
        self, version: str, *options: str, **changes: Any
    ) -> subprocess.CompletedProcess[str]:
        """`mlifecycle deploy` of that version, with all stages."""
        manifest = self.manifest(version, **changes)
        image = self.image(manifest)
        return self.run("deploy", "--manifest", str(manifest), "--image", image, *options)

    def status(self) -> dict[str, Any]:
        """What the cluster says of the one deployment; {} when there is none."""
        done = self.run("status", "--namespace", self.namespace, "--output", "json")
        found = json.loads(done.stdout)
        assert len(found) <= 1
        assert done.returncode == (0 if not found or _good(found[0]) else 1)
        return dict(found[0]) if found else {}

    def kubectl(self, *arguments: str, given: Any = None) -> str:
        return kubectl("--namespace", self.namespace, *arguments, given=given)

    def objects(self) -> set[str]:
        """What lies in the namespace and is not in every one."""
        kinds = (
            "deployments,services,serviceaccounts,configmaps,pods,leases,"
            "poddisruptionbudgets,horizontalpodautoscalers,networkpolicies"
        )
        names = self.kubectl("get", kinds, "--output", "name").split()
        return {name for name in names if name not in _ALWAYS}

    def predict(self) -> dict[str, Any]:
        """The answer of a pod behind the Service, by way of the API server."""
        return self._through_the_service("/predict", REQUEST)

    def version(self) -> str:
        """The version that a pod behind the Service says it is."""
        return str(self._through_the_service("/model/info")["version"])

    def _through_the_service(self, path: str, body: Any = None) -> dict[str, Any]:
        configuration = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
        cluster, user = configuration["clusters"][0]["cluster"], configuration["users"][0]["user"]
        request = urllib.request.Request(
            f"{cluster['server']}/api/v1/namespaces/{self.namespace}/services/{NAME}:http/proxy{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {user['token']}", "Content-Type": "application/json"},
        )
        trusted = ssl.create_default_context(cafile=cluster["certificate-authority"])
        with urllib.request.urlopen(request, timeout=30, context=trusted) as answer:
            return dict(json.load(answer))


_ALWAYS = {"serviceaccount/default", "configmap/kube-root-ca.crt"}


def _good(entry: dict[str, Any]) -> bool:
    return entry["state"] in ("healthy", "stopped", "changing")
