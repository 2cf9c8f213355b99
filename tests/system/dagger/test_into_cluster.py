"""The module builds an image and brings it into a real cluster, or leaves the cluster as it was.

The cluster's API server listens on this machine alone, as that of a laptop's cluster does.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from calls import EXAMPLES, dagger, images, needs_our_engine, registry
from conftest import Call, Databases
from small_module import submit

sys.path.append(str(Path(__file__).parents[1]))

from kubectl import kubectl
from steady import Load

pytestmark = needs_our_engine

ABSENT = 'No cluster is named. Run this first: eval "$(tests/system/cluster/up.sh)"'
SMALL = "small-detector"
# A machine that others use as well answers late now and then.
PATIENT = ("latency_p99: {threshold: 250ms", "latency_p99: {threshold: 2s")
LITTLE = ("requests: {cpu: 250m, memory: 512Mi}", "requests: {cpu: 20m, memory: 64Mi}")


@dataclass(frozen=True)
class Kubeconfig:
    """The way into the tests' cluster, as a text that needs no other file."""

    document: dict[str, Any]

    @property
    def text(self) -> str:
        return yaml.safe_dump(self.document)

    @property
    def token(self) -> str:
        return str(self.document["users"][0]["user"]["token"])

    @property
    def cluster(self) -> dict[str, str]:
        return dict(self.document["clusters"][0]["cluster"])

    @property
    def options(self) -> list[str]:
        server = urlsplit(self.cluster["server"])
        return [
            *("--kubeconfig", "env:TEST_KUBECONFIG"),
            *("--api-server", f"tcp://{server.hostname}:{server.port}"),
        ]

    def answer(
        self, namespace: str, name: str, path: str, body: Any = None, key: str | None = None
    ) -> dict[str, Any]:
        """What a pod behind the model's Service answers. Raises HTTPError for another than 200."""
        request = urllib.request.Request(
            f"{self.cluster['server']}/api/v1/namespaces/{namespace}/services/{name}:http/proxy{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            | ({} if key is None else {"X-API-Key": key}),
        )
        authority = base64.b64decode(self.cluster["certificate-authority-data"]).decode()
        trusted = ssl.create_default_context(cadata=authority)
        with urllib.request.urlopen(request, timeout=30, context=trusted) as reply:
            return dict(json.load(reply))


@pytest.fixture(scope="module")
def kubeconfig() -> Kubeconfig:
    if "MLIFECYCLE_TEST_CLUSTER" not in os.environ:
        pytest.fail(ABSENT, pytrace=False)
    document = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    cluster = document["clusters"][0]["cluster"]
    authority = Path(cluster.pop("certificate-authority")).read_bytes()
    cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
    return Kubeconfig(document)


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """The name of a namespace that is not there yet."""
    name = f"models-{secrets.token_hex(4)}"
    yield name
    kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


@dataclass(frozen=True)
class Small:
    """The small model, deployed by the small module."""

    call: Call
    kubeconfig: Kubeconfig
    databases: Databases
    namespace: str
    room: Path

    def manifest(self, version: str, *changes: tuple[str, str]) -> Path:
        versions = [("    version: 1.2.0\n", f"    version: {version}\n")] * (version != "1.2.0")
        namespace = ("  namespace: payments-risk\n", f"  namespace: {self.namespace}\n")
        folder = self.room / secrets.token_hex(4)
        return submit(folder, namespace, PATIENT, LITTLE, *versions, *changes, name=SMALL)

    def run(
        self, manifest: Path, *options: str | Path, function: str = "deploy"
    ) -> subprocess.CompletedProcess[str]:
        there = ["--registry", registry("into-cluster/small"), *self.databases.options]
        return self.call(
            *(*there, function, "--manifest", manifest, *self.kubeconfig.options, *options),
            source=manifest.parent,
            TEST_KUBECONFIG=self.kubeconfig.text,
        )

    def version(self) -> str:
        answer = self.kubeconfig.answer(self.namespace, SMALL, "/model/info")
        return str(answer["version"])


@pytest.fixture(scope="module")
def small_model(
    call: Call,
    kubeconfig: Kubeconfig,
    databases: Databases,
    namespace: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Small:
    return Small(call, kubeconfig, databases, namespace, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def first(small_model: Small) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """1.2.0, brought into a namespace that was not there."""
    manifest = small_model.manifest("1.2.0")
    done = small_model.run(manifest)
    assert done.returncode == 0, done.stderr
    return manifest, done


def test_what_was_published_serves_in_the_cluster(
    small_model: Small, first: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    said = first[1].stdout
    for stage in ("publish", "deploy", "verify", "register"):
        assert f"✓ {stage} " in said
    pods = json.loads(kubectl("-n", small_model.namespace, "get", "pods", "-o", "json"))["items"]
    ran = {each["spec"]["containers"][0]["image"] for each in pods}
    (image,) = ran
    assert image in said
    assert image.startswith(f"{registry('into-cluster/small')}:1.2.0@sha256:")
    assert small_model.version() == "1.2.0"


def test_the_same_call_again_changes_the_cluster_again(
    small_model: Small, first: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    kubectl("-n", small_model.namespace, "delete", "deployment", SMALL)
    folder = tmp_path / "evidence"
    done = small_model.run(first[0], "evidence", "-o", folder, function="release")
    assert done.returncode == 0, done.stderr
    assert small_model.version() == "1.2.0"
    record = json.loads((folder / "record.json").read_text())
    assert record["versions"]["context"] == "tests"
    assert record["again"].endswith("--kubeconfig KUBECONFIG --api-server API-SERVER")
    # What opens the cluster is in nothing that was said or kept.
    told = [first[1].stdout, first[1].stderr, done.stdout, done.stderr]
    kept = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    token = small_model.kubeconfig.token.encode()
    assert len(kept) > 10
    assert not [each for each in [*map(str.encode, told), *kept] if token in each]


def test_a_version_that_does_not_get_ready_leaves_the_old_one(
    small_model: Small, first: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    delay = "      initial_delay_seconds: {}\n      period_seconds: 5\n"
    done = small_model.run(
        small_model.manifest("1.3.0", (delay.format(5), delay.format(600))), "--timeout", "15"
    )
    assert done.returncode == 1
    assert "DP-RDY-001" in done.stderr
    assert "1.2.0 serves again" in done.stderr
    assert small_model.version() == "1.2.0"


def test_the_command_line_brings_the_same_image_there(
    small: Path,
    small_model: Small,
    first: tuple[Path, subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    """From this machine, where the API server needs no other way to it."""
    deployment = ("-n", small_model.namespace, "get", "deployment", SMALL, "-o")
    before = kubectl(*deployment, "jsonpath={.spec.template.spec.containers[0].image}")
    kubectl("-n", small_model.namespace, "delete", "deployment", SMALL)
    command = [
        *(sys.executable, "-m", "pipeline", "deploy", "--manifest", str(first[0])),
        *("--runtime", "dagger", "--target", "kubernetes"),
        *(*images(), *small_model.databases.options),
        *("--registry", registry("into-cluster/small")),
        *("--state", str(tmp_path / "state"), "--output", "json"),
    ]
    done = subprocess.run(
        command,
        cwd=first[0].parent,
        env=os.environ | {"PYTHONPATH": str(small)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert [each["stage"] for each in record["stages"]][-4:] == [
        *("publish", "deploy", "verify", "register"),
    ]
    after = kubectl(*deployment, "jsonpath={.spec.template.spec.containers[0].image}")
    assert after == before


@dataclass(frozen=True)
class Guarded:
    """The second example in a namespace of its own, where only who has a key may ask."""

    manifest: Path
    namespace: str
    key: str


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    shutil.copytree(EXAMPLES / "valid", folder, dirs_exist_ok=True)
    namespace = f"models-{secrets.token_hex(4)}"
    manifest = folder / "breast-cancer-manifest.yaml"
    text = manifest.read_text()
    moved = ("  namespace: diagnostics\n", f"  namespace: {namespace}\n")
    access = ("    replicas: 2\n", "    replicas: 2\n    access: {keys_secret: callers}\n")
    for old, new in (moved, access, PATIENT, LITTLE):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    manifest.write_text(text)
    keys = folder / "keys.json"
    make = [sys.executable, "-m", "serving", "keys", "new", "billing", "--file", str(keys)]
    made = subprocess.run(make, cwd=EXAMPLES.parent, capture_output=True, text=True, check=True)
    kubectl("create", "namespace", namespace)
    kubectl("-n", namespace, "create", "secret", "generic", "callers", f"--from-file={keys}")
    yield Guarded(manifest, namespace, made.stdout.strip())
    kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def inference(
    guarded: Guarded, kubeconfig: Kubeconfig, databases: Databases
) -> subprocess.CompletedProcess[str]:
    """The second example's image, brought into the cluster."""
    there = ["--registry", registry("into-cluster/breast-cancer"), *databases.options]
    done = dagger(
        EXAMPLES.parent,
        *("call", "--source", guarded.manifest.parent, *images(), *there),
        *("deploy", "--manifest", guarded.manifest, *kubeconfig.options),
        *("--api-key", "env:TEST_KEY"),
        TEST_KUBECONFIG=kubeconfig.text,
        TEST_KEY=guarded.key,
    )
    assert done.returncode == 0, done.stderr
    assert guarded.key not in done.stdout + done.stderr
    return done


def golden(manifest: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load(manifest.read_text())["spec"]["inference"]["golden_inputs"])


@pytest.mark.usefixtures("inference")
def test_the_inference_image_answers_predictions_in_pods(
    guarded: Guarded, kubeconfig: Kubeconfig
) -> None:
    there = (guarded.namespace, "breast-cancer")
    info = kubeconfig.answer(*there, "/model/info", key=guarded.key)
    assert (info["version"], info["lane"]) == ("1.0.0", "onnx")
    asked = {"instances": [each["instance"] for each in golden(guarded.manifest)]}
    answer = kubeconfig.answer(*there, "/predict", asked, key=guarded.key)
    assert [each["prediction"] for each in answer["predictions"]] == [
        each["expected"]["prediction"] for each in golden(guarded.manifest)
    ]


@pytest.mark.usefixtures("inference")
def test_it_answers_nobody_without_a_key(guarded: Guarded, kubeconfig: Kubeconfig) -> None:
    asked = {"instances": [golden(guarded.manifest)[0]["instance"]]}
    for key in (None, guarded.key[:-1] + "_"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            kubeconfig.answer(guarded.namespace, "breast-cancer", "/predict", asked, key=key)
        assert refused.value.code == 401


@pytest.mark.usefixtures("inference")
def test_a_rolling_restart_under_load_fails_no_request(
    guarded: Guarded, kubeconfig: Kubeconfig
) -> None:
    asked = {"instances": [golden(guarded.manifest)[0]["instance"]]}
    where = ("-n", guarded.namespace)
    pods = (*where, "get", "pods", "-l", "app.kubernetes.io/name=breast-cancer", "-o")
    names = "jsonpath={.items[*].metadata.name}"

    def ask() -> None:
        kubeconfig.answer(*there, "/predict", asked, key=guarded.key)

    there = (guarded.namespace, "breast-cancer")
    before = kubectl(*pods, names).split()
    with Load(ask) as load:
        kubectl(*where, "rollout", "restart", "deployment/breast-cancer")
        kubectl(*where, "rollout", "status", "deployment/breast-cancer", "--timeout=150s")
        for name in before:
            kubectl(*where, "wait", "--for=delete", f"pod/{name}", "--timeout=90s")
    assert load.failures == []
    assert load.answers > 20
    assert before
    assert not set(before) & set(kubectl(*pods, names).split())
