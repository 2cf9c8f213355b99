"""The Kubernetes objects of the examples, by kustomize itself, judged by kubeconform itself."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.append(str(Path(__file__).parents[1] / "pipeline" / "tools"))

import image_inputs as given

from pipeline import manifest as manifests
from pipeline import resources
from pipeline.environment import Environment
from pipeline.findings import ToolReport, ToolStatus
from pipeline.manifest import Manifest
from pipeline.places.host import FolderBuilder
from pipeline.policy.bundle import Bundle
from pipeline.policy.interface import Engine
from pipeline.policy.opa import Opa
from pipeline.policy.regocpp import RegoCpp
from pipeline.record import Outcome
from pipeline.runtimes.host import Host
from pipeline.stages import judge, render
from pipeline.stages.interface import Context
from pipeline.state import State
from pipeline.tools import kubeconform, kustomize

VALID = Path(__file__).parents[2] / "examples" / "valid"
DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGE = f"registry.internal:5000/models/fraud-detector:1.2.0@{DIGEST}"
PUBLISHED = f"ghcr.io/acme-bank/fraud-detector:1.2.0@{DIGEST}"
NO_POLICIES = Bundle({}, {}, {}, {}, "sha256:none")
SPARE = (Environment.STAGING, Environment.PROD)

Change = Callable[[dict[str, Any]], object]
Objects = Mapping[str, dict[str, Any]]
each = pytest.mark.parametrize("environment", list(Environment))


class Silent:
    def step(self, message: str) -> None:
        pass


@pytest.fixture(scope="module", autouse=True)
def programs() -> Iterator[None]:
    absent = [
        name
        for name in ("kustomize", "kubeconform", "opa")
        if not (given.PROGRAMS / name).is_file()
    ]
    if absent:
        pytest.fail(
            f"There is no {', '.join(absent)} in {given.PROGRAMS}. Run "
            "tests/system/tools/install.sh kustomize kubeconform opa.",
            pytrace=False,
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLIFECYCLE_TOOLS", str(given.PROGRAMS))
        yield


@pytest.fixture(scope="module")
def schemas() -> Path:
    return resources.folder("kustomize") / "schemas"


@pytest.fixture
def load(tmp_path: Path) -> Callable[[Change], Manifest]:
    """The example's manifest with changes to its document."""

    def make(change: Change) -> Manifest:
        document = yaml.safe_load((VALID / "model-manifest.yaml").read_text())
        change(document)
        path = tmp_path / "model-manifest.yaml"
        path.write_text(json.dumps(document, default=str))
        return manifests.load(path)

    return make


def example() -> Manifest:
    return manifests.load(VALID / "model-manifest.yaml")


def rendered(
    room: Path, manifest: Manifest, environment: Environment = Environment.PROD, image: str = IMAGE
) -> bytes:
    state = State(room / "state")
    context = Context(
        environment=environment, bundle=NO_POLICIES, engine=RegoCpp(), runtime=Host(),
        builder=FolderBuilder(Host(), state), state=state, run_folder=room / "run",
        progress=Silent(),
    )  # fmt: skip
    _, objects = asyncio.run(render.run(context, manifest, image))
    return objects


def by_kind(objects: bytes) -> Objects:
    documents = list(yaml.safe_load_all(objects))
    found = {document["kind"]: document for document in documents}
    assert len(found) == len(documents)
    return found


def pod(objects: Objects) -> dict[str, Any]:
    return dict(objects["Deployment"]["spec"]["template"])


def server(objects: Objects) -> dict[str, Any]:
    (container,) = pod(objects)["spec"]["containers"]
    return dict(container)


def judged(objects: Path, schemas: Path) -> ToolReport:
    call = kubeconform.invocation({kubeconform.OBJECTS: objects, kubeconform.SCHEMAS: schemas})
    return kubeconform.parse(asyncio.run(Host().run(call)), "")


@each
@pytest.mark.parametrize("name", ["model-manifest.yaml", "breast-cancer-manifest.yaml"])
def test_every_object_is_what_its_strict_schema_says(
    tmp_path: Path, schemas: Path, environment: Environment, name: str
) -> None:
    objects = rendered(tmp_path, manifests.load(VALID / name), environment)
    report = judged(tmp_path / "run" / render.OBJECTS, schemas)
    assert report.status is ToolStatus.RAN, report.reason
    assert not report.findings
    assert report.audited == len(by_kind(objects)) == (9 if environment in SPARE else 8)


@each
@pytest.mark.parametrize("name", ["model-manifest.yaml", "breast-cancer-manifest.yaml"])
@pytest.mark.parametrize("engine", [RegoCpp, lambda: Opa(Host())], ids=["rego-cpp", "opa"])
def test_every_object_may_go_to_a_cluster(
    tmp_path: Path, environment: Environment, name: str, engine: Callable[[], Engine]
) -> None:
    objects = rendered(tmp_path, manifests.load(VALID / name), environment, PUBLISHED)
    state = State(tmp_path / "state")
    context = Context(
        environment=environment, bundle=Bundle.load(resources.folder("policies")), engine=engine(),
        runtime=Host(), builder=FolderBuilder(Host(), state), state=state,
        run_folder=tmp_path / "run", progress=Silent(),
    )  # fmt: skip
    report = asyncio.run(judge.run(context, objects))
    assert (report.outcome, report.violations) == (Outcome.PASSED, ())


def test_a_planted_mistake_is_found(tmp_path: Path, schemas: Path) -> None:
    objects = rendered(tmp_path, example())
    path = tmp_path / "wrong.yaml"
    path.write_bytes(objects.replace(b"runAsNonRoot: true", b"runAsNonRot: true"))
    (finding,) = judged(path, schemas).findings
    assert "additional properties 'runAsNonRot' not allowed" in finding.message


@each
def test_the_same_manifest_and_image_give_the_same_bytes(
    tmp_path: Path, environment: Environment
) -> None:
    first = rendered(tmp_path / "one", example(), environment)
    assert rendered(tmp_path / "two", example(), environment) == first


@each
def test_names_namespace_and_labels_are_on_every_object(
    tmp_path: Path, environment: Environment
) -> None:
    objects = dict(by_kind(rendered(tmp_path, example(), environment)))
    namespace = objects.pop("Namespace")["metadata"]
    assert namespace["name"] == "payments-risk"
    assert "app.kubernetes.io/name" not in namespace["labels"]
    for kind, found in objects.items():
        metadata = found["metadata"]
        assert metadata["namespace"] == "payments-risk"
        if kind == "Service":
            assert metadata["labels"].pop("app.kubernetes.io/component") == "model-server"
        assert metadata["labels"] == {
            "app.kubernetes.io/name": "fraud-detector",
            "app.kubernetes.io/managed-by": "mlifecycle",
            "mlifecycle.io/environment": environment.value,
            "team": "payments-risk",
            "cost-center": "4711",
        }
        if kind == "ConfigMap":
            assert metadata["name"].startswith("fraud-detector-settings-")
        else:
            assert metadata["name"] == "fraud-detector"


@each
def test_a_server_is_started_from_the_image_by_its_digest(
    tmp_path: Path, environment: Environment
) -> None:
    assert server(by_kind(rendered(tmp_path, example(), environment)))["image"] == IMAGE
    untagged = IMAGE.replace(":1.2.0", "")
    objects = rendered(tmp_path, example(), environment, untagged)
    assert server(by_kind(objects))["image"] == untagged


@each
def test_a_pod_is_restricted(tmp_path: Path, environment: Environment) -> None:
    """By https://kubernetes.io/docs/concepts/security/pod-security-standards/, and further."""
    objects = by_kind(rendered(tmp_path, example(), environment))
    spec, container = pod(objects)["spec"], server(objects)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [sorted(volume) for volume in spec["volumes"]] == [["emptyDir", "name"]]
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)


@each
def test_a_server_has_no_rights_in_the_cluster(tmp_path: Path, environment: Environment) -> None:
    objects = by_kind(rendered(tmp_path, example(), environment))
    assert objects["ServiceAccount"]["automountServiceAccountToken"] is False
    assert pod(objects)["spec"]["automountServiceAccountToken"] is False
    assert pod(objects)["spec"]["serviceAccountName"] == "fraud-detector"


def test_probes_ask_the_server_as_often_as_the_manifest_says(tmp_path: Path) -> None:
    container = server(by_kind(rendered(tmp_path, example())))
    (port,) = container["ports"]
    assert port == {"name": "http", "containerPort": 8000}
    for name in ("startup", "liveness"):
        assert container[f"{name}Probe"]["httpGet"] == {"path": "/health", "port": "http"}
    assert container["readinessProbe"] == {
        "httpGet": {"path": "/ready", "port": "http"},
        "initialDelaySeconds": 5,
        "periodSeconds": 5,
        "timeoutSeconds": 2,
        "failureThreshold": 3,
    }


def test_replicas_and_resources_are_the_manifest_s(
    tmp_path: Path, load: Callable[[Change], Manifest]
) -> None:
    objects = by_kind(rendered(tmp_path, example()))
    assert "replicas" not in objects["Deployment"]["spec"]
    scaler = objects["HorizontalPodAutoscaler"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)
    assert scaler["scaleTargetRef"]["name"] == "fraud-detector"
    fixed = load(lambda document: document["spec"]["inference"].pop("autoscaling"))
    assert by_kind(rendered(tmp_path, fixed))["Deployment"]["spec"]["replicas"] == 2
    assert server(objects)["resources"] == {
        "requests": {"cpu": "250m", "memory": "512Mi"},
        "limits": {"cpu": "1", "memory": "2Gi"},
    }


def test_a_service_finds_the_pods(tmp_path: Path) -> None:
    objects = by_kind(rendered(tmp_path, example()))
    selector = objects["Service"]["spec"]["selector"]
    assert selector["app.kubernetes.io/name"] == "fraud-detector"
    assert selector.items() <= pod(objects)["metadata"]["labels"].items()
    assert objects["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    assert objects["Deployment"]["spec"]["selector"] == {"matchLabels": selector}
    assert objects["PodDisruptionBudget"]["spec"]["selector"] == {"matchLabels": selector}


def test_settings_that_change_are_other_settings(
    tmp_path: Path, load: Callable[[Change], Manifest]
) -> None:
    tracing = {"enabled": True, "endpoint": "http://collector.observability:4318"}
    traced = load(lambda document: document["spec"]["observability"].update(tracing=tracing))
    before, after = (by_kind(rendered(tmp_path, manifest)) for manifest in (example(), traced))
    assert after["ConfigMap"]["data"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == tracing["endpoint"]
    assert before["ConfigMap"]["metadata"]["name"] != after["ConfigMap"]["metadata"]["name"]
    for objects in (before, after):
        (source,) = server(objects)["envFrom"]
        assert source == {"configMapRef": {"name": objects["ConfigMap"]["metadata"]["name"]}}


def test_a_new_version_changes_nothing_that_selects(
    tmp_path: Path, load: Callable[[Change], Manifest]
) -> None:
    def change(document: dict[str, Any]) -> None:
        document["spec"]["model"]["version"] = "2.0.0"
        document["metadata"]["labels"]["team"] = "another"

    image = IMAGE.replace("0123", "9999")
    before = by_kind(rendered(tmp_path, example()))
    after = by_kind(rendered(tmp_path, load(change), image=image))
    for kind in ("Deployment", "Service", "PodDisruptionBudget"):
        assert before[kind]["spec"]["selector"] == after[kind]["spec"]["selector"]
    assert server(after)["image"] == image


# Words that one YAML parser or another takes for a number, a truth value, nothing or a date.
WORDS = ("1e3", "010", "0o17", "0x1F", "1_000", "1.0", "yes", "off", "null", "2026-11-24", "n")


@pytest.mark.parametrize("word", WORDS)
def test_text_that_looks_like_something_else_stays_text(
    tmp_path: Path, schemas: Path, load: Callable[[Change], Manifest], word: str
) -> None:
    def change(document: dict[str, Any]) -> None:
        document["spec"]["model"]["version"] = word
        document["metadata"]["labels"].update(team=word, more=word)

    objects = by_kind(rendered(tmp_path, load(change)))
    labels = pod(objects)["metadata"]["labels"]
    assert (labels["team"], labels["more"]) == (word, word)
    assert objects["Deployment"]["metadata"]["annotations"]["mlifecycle.io/version"] == word
    report = judged(tmp_path / "run" / render.OBJECTS, schemas)
    assert (report.status, report.findings) == (ToolStatus.RAN, ())


@pytest.mark.parametrize("name", ["a", "model", "server", "yes", "on", "x" * 63])
def test_any_name_that_a_manifest_allows_is_a_name_of_objects(
    tmp_path: Path, schemas: Path, load: Callable[[Change], Manifest], name: str
) -> None:
    def change(document: dict[str, Any]) -> None:
        document["metadata"].update(name=name, namespace=name)

    objects = by_kind(rendered(tmp_path, load(change)))
    for kind in ("Namespace", "ServiceAccount", "Service", "Deployment", "PodDisruptionBudget"):
        assert objects[kind]["metadata"]["name"] == name
    assert pod(objects)["spec"]["serviceAccountName"] == name
    assert judged(tmp_path / "run" / render.OBJECTS, schemas).audited == 9


@each
def test_where_nodes_come_and_go_a_model_stays_available(
    tmp_path: Path, environment: Environment
) -> None:
    objects = by_kind(rendered(tmp_path, example(), environment))
    assert ("PodDisruptionBudget" in objects) == (environment in SPARE)
    assert ("topologySpreadConstraints" in pod(objects)["spec"]) == (environment in SPARE)
    assert objects["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_objects_come_before_those_that_use_them(tmp_path: Path) -> None:
    assert list(by_kind(rendered(tmp_path, example()))) == [
        *("Namespace", "ServiceAccount", "ConfigMap", "Service", "Deployment"),
        *("PodDisruptionBudget", "HorizontalPodAutoscaler", "ServiceMonitor", "NetworkPolicy"),
    ]


def test_pods_are_asked_by_the_ingress_controller_and_prometheus_and_ask_for_names(
    tmp_path: Path,
) -> None:
    policy = by_kind(rendered(tmp_path, example()))["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "fraud-detector"
    (way_in,) = policy["ingress"]
    (peer,) = way_in["from"]
    assert peer["namespaceSelector"]["matchExpressions"][0]["values"] == [
        *("ingress-nginx", "monitoring")
    ]
    (names,) = policy["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert "app.kubernetes.io/name" not in json.dumps(names)


def test_an_ingress_leads_to_the_model_s_service(
    tmp_path: Path, schemas: Path, load: Callable[[Change], Manifest]
) -> None:
    ingress = {"host": "fraud.example.com", "tls_secret": "fraud-tls"}
    opened = load(lambda document: document["spec"]["inference"].update(ingress=ingress))
    found = by_kind(rendered(tmp_path, opened))["Ingress"]["spec"]
    assert found["tls"] == [{"hosts": ["fraud.example.com"], "secretName": "fraud-tls"}]
    (rule,) = found["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"]) == ("fraud.example.com", "/predict")
    assert path["backend"]["service"]["name"] == "fraud-detector"
    assert judged(tmp_path / "run" / render.OBJECTS, schemas).findings == ()


def test_prometheus_finds_the_model_s_service_and_no_other(tmp_path: Path) -> None:
    objects = by_kind(rendered(tmp_path, example()))
    chosen = objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert chosen["app.kubernetes.io/name"] == "fraud-detector"
    assert chosen.items() <= objects["Service"]["metadata"]["labels"].items()


KUSTOMIZE = resources.folder("kustomize")
COMPONENTS = sorted(path.name for path in (KUSTOMIZE / "components").iterdir())


@pytest.mark.parametrize("component", COMPONENTS)
def test_each_component_can_be_built_and_is_valid(
    tmp_path: Path, schemas: Path, component: str
) -> None:
    """Over the base, under another namespace, as somebody would who writes their own overlay."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "kustomization.yaml").write_text(
        json.dumps(
            {
                "resources": ["../kustomize/base"],
                "components": [f"../kustomize/components/{component}"],
                "namespace": "elsewhere",
            }
        )
    )
    call = kustomize.build({"kustomize": KUSTOMIZE, "own": own}, "own")
    objects, count = kustomize.objects(asyncio.run(Host().run(call)))
    path = tmp_path / "objects.yaml"
    path.write_bytes(objects)
    report = judged(path, schemas)
    assert (report.status, report.findings, report.audited) == (ToolStatus.RAN, (), count)
    for found in yaml.safe_load_all(objects):
        assert found["metadata"]["namespace"] == "elsewhere"
        for subject in found.get("subjects", ()):
            assert subject["namespace"] == "elsewhere"
