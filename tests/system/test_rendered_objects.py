"""The Kubernetes objects of the examples, by kustomize itself, judged by kubeconform itself."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

sys.path.append(str(Path(__file__).parents[1] / "pipeline" / "tools"))

import image_inputs as given

from pipeline import cli, resources
from pipeline import manifest as manifests
from pipeline.environment import Environment
from pipeline.findings import ToolReport, ToolStatus
from pipeline.kubernetes.platforms import Platform
from pipeline.manifest import Manifest
from pipeline.places.host import FolderBuilder
from pipeline.policy.bundle import Bundle
from pipeline.policy.interface import Engine
from pipeline.policy.opa import Opa
from pipeline.policy.regocpp import RegoCpp
from pipeline.record import Outcome, StageReport
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
    room: Path, manifest: Manifest, environment: Environment = Environment.PROD, image: str = IMAGE,
    platform: Platform | None = None,
) -> bytes:  # fmt: skip
    state = State(room / "state")
    context = Context(
        environment=environment, bundle=NO_POLICIES, engine=RegoCpp(), runtime=Host(),
        builder=FolderBuilder(Host(), state), state=state, run_folder=room / "run",
        progress=Silent(),
    )  # fmt: skip
    _, objects = asyncio.run(render.run(context, manifest, image, platform))
    return objects


def by_kind(objects: bytes) -> Objects:
    """The objects by their kind; a ConfigMap with a dashboard is a Dashboard."""
    documents = list(yaml.safe_load_all(objects))
    found = {
        "Dashboard" if "dashboard.json" in document.get("data", {}) else document["kind"]: document
        for document in documents
    }
    assert len(found) == len(documents)
    return found


def pod(objects: Objects) -> dict[str, Any]:
    return dict(objects["Deployment"]["spec"]["template"])


def server(objects: Objects) -> dict[str, Any]:
    (container,) = pod(objects)["spec"]["containers"]
    return dict(container)


def verdict(room: Path, objects: bytes, environment: Environment, engine: Engine) -> StageReport:
    state = State(room / "state")
    context = Context(
        environment=environment, bundle=Bundle.load(resources.folder("policies")), engine=engine,
        runtime=Host(), builder=FolderBuilder(Host(), state), state=state, run_folder=room / "run",
        progress=Silent(),
    )  # fmt: skip
    return asyncio.run(judge.run(context, objects))


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
    assert report.audited == len(by_kind(objects)) == (11 if environment in SPARE else 10)


@each
@pytest.mark.parametrize("name", ["model-manifest.yaml", "breast-cancer-manifest.yaml"])
@pytest.mark.parametrize("engine", [RegoCpp, lambda: Opa(Host())], ids=["rego-cpp", "opa"])
def test_every_object_may_go_to_a_cluster(
    tmp_path: Path, environment: Environment, name: str, engine: Callable[[], Engine]
) -> None:
    objects = rendered(tmp_path, manifests.load(VALID / name), environment, PUBLISHED)
    report = verdict(tmp_path, objects, environment, engine())
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
        if kind == "Dashboard":
            # By it the sidecar of Grafana finds it.
            assert metadata["labels"].pop("grafana_dashboard") == "1"
        assert metadata["labels"] == {
            "app.kubernetes.io/name": "fraud-detector",
            "app.kubernetes.io/managed-by": "mlifecycle",
            "mlifecycle.io/environment": environment.value,
            "team": "payments-risk",
            "cost-center": "4711",
        }
        if kind == "Dashboard":
            assert metadata["name"] == "fraud-detector-dashboard"
        elif kind == "ConfigMap":
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
    assert judged(tmp_path / "run" / render.OBJECTS, schemas).audited == 11


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
        *("Namespace", "ServiceAccount", "Dashboard", "ConfigMap", "Service", "Deployment"),
        *("PodDisruptionBudget", "HorizontalPodAutoscaler", "PrometheusRule", "ServiceMonitor"),
        "NetworkPolicy",
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


@pytest.mark.parametrize("platform", [None, *Platform])
def test_pods_know_who_may_ask(
    tmp_path: Path,
    schemas: Path,
    load: Callable[[Change], Manifest],
    platform: Platform | None,
) -> None:
    issuer = "https://login.example.com"
    tokens = {"issuer": issuer, "audience": "models", "key_set": f"{issuer}:8443/keys?a=b&c=d"}
    access = {"keys_secret": "callers", "tokens": tokens}
    guarded = load(lambda document: document["spec"]["inference"].update(access=access))
    objects = list(
        yaml.safe_load_all(rendered(tmp_path, guarded, Environment.PROD, PUBLISHED, platform))
    )
    (settings,) = (
        each["data"]
        for each in objects
        if each["kind"] == "ConfigMap" and "MLIFECYCLE_SERVING_AUTHENTICATION" in each["data"]
    )
    assert settings["MLIFECYCLE_SERVING_AUTHENTICATION"] == "keys,jwt"
    assert settings["MLIFECYCLE_SERVING_JWT_KEYS"] == tokens["key_set"]
    assert settings["MLIFECYCLE_SERVING_PUBLIC"] == "health,ready,metrics"
    found = [
        each["spec"]["predictor"]
        if each["kind"] == "InferenceService"
        else each["spec"]["template"]["spec"]
        for each in objects
        if each["kind"] in ("Deployment", "InferenceService")
    ]
    (pods,) = found
    (volume,) = (each for each in pods["volumes"] if "secret" in each)
    assert volume["secret"] == {"secretName": "callers"}
    (mount,) = (
        each for each in pods["containers"][0]["volumeMounts"] if each["name"] == volume["name"]
    )
    file = PurePosixPath(settings["MLIFECYCLE_SERVING_KEYS_FILE"])
    assert (mount["mountPath"], mount["readOnly"]) == (str(file.parent), True)
    assert judged(tmp_path / "run" / render.OBJECTS, schemas).findings == ()


def test_prometheus_finds_the_model_s_service_and_no_other(tmp_path: Path) -> None:
    objects = by_kind(rendered(tmp_path, example()))
    chosen = objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    assert chosen["app.kubernetes.io/name"] == "fraud-detector"
    assert chosen.items() <= objects["Service"]["metadata"]["labels"].items()


KUSTOMIZE = resources.folder("kustomize")
# Those of platforms are laid over finished objects.
COMPONENTS = sorted({path.name for path in (KUSTOMIZE / "components").iterdir()} - set(Platform))


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


def on(platform: Platform, room: Path, environment: Environment, manifest: Manifest) -> Objects:
    return by_kind_and_name(rendered(room, manifest, environment, PUBLISHED, platform))


def by_kind_and_name(objects: bytes) -> Objects:
    documents = list(yaml.safe_load_all(objects))
    found = {f"{each['kind']}/{each['metadata']['name']}": each for each in documents}
    assert len(found) == len(documents)
    return found


@each
@pytest.mark.parametrize("platform", Platform)
@pytest.mark.parametrize("autoscaled", [True, False])
def test_what_a_platform_takes_is_valid_and_may_go_to_a_cluster(
    tmp_path: Path,
    schemas: Path,
    load: Callable[[Change], Manifest],
    environment: Environment,
    platform: Platform,
    autoscaled: bool,
) -> None:
    manifest = load(
        lambda document: document["spec"]["inference"]["autoscaling"].update(enabled=autoscaled)
    )
    objects = on(platform, tmp_path, environment, manifest)
    report = judged(tmp_path / "run" / render.OBJECTS, schemas)
    assert (report.status, report.findings, report.audited) == (ToolStatus.RAN, (), len(objects))
    data = (tmp_path / "run" / render.OBJECTS).read_bytes()
    found = {each.id for each in verdict(tmp_path, data, environment, RegoCpp()).violations}
    # Without an autoscaler, which the manifest does not want here, these want one.
    assert found == (set() if autoscaled or environment not in SPARE else {"KD-HPA-001"})
    for each in objects.values():
        if each["kind"] != "Namespace":
            assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "fraud-detector"


def test_a_rollout_takes_the_deployment_s_pods_over(
    tmp_path: Path, load: Callable[[Change], Manifest]
) -> None:
    objects = on(Platform.ARGO_ROLLOUTS, tmp_path, Environment.PROD, example())
    spec = objects["Rollout/fraud-detector"]["spec"]
    assert spec["workloadRef"]["name"] == "fraud-detector"
    (template,) = spec["strategy"]["canary"]["analysis"]["templates"]
    assert f"AnalysisTemplate/{template['templateName']}" in objects
    analysis = objects["AnalysisTemplate/fraud-detector"]["spec"]
    values = {each["name"]: each.get("value") for each in analysis["args"]}
    assert (values["error-rate"], values["error-rate-window"]) == ("0.05", "5m")
    assert (values["latency-p99"], values["latency-p99-window"]) == ("0.25", "5m")
    given = {each["name"] for each in spec["strategy"]["canary"]["analysis"]["args"]}
    assert given == {name for name, value in values.items() if value is None}
    scaler = objects["HorizontalPodAutoscaler/fraud-detector"]["spec"]["scaleTargetRef"]
    assert (scaler["kind"], scaler["apiVersion"]) == ("Rollout", "argoproj.io/v1alpha1")
    fixed = load(lambda document: document["spec"]["inference"].pop("autoscaling"))
    objects = on(Platform.ARGO_ROLLOUTS, tmp_path, Environment.PROD, fixed)
    assert objects["Rollout/fraud-detector"]["spec"]["replicas"] == 2


def test_flagger_makes_the_service_and_renames_no_label_that_selects(tmp_path: Path) -> None:
    objects = on(Platform.FLAGGER, tmp_path, Environment.PROD, example())
    assert not any(name.startswith("Service/") for name in objects)
    canary = objects["Canary/fraud-detector"]["spec"]
    assert (canary["targetRef"]["name"], canary["service"]["name"]) == ("fraud-detector",) * 2
    limits = {each["name"]: each for each in canary["analysis"]["metrics"]}
    assert limits["error-rate"]["thresholdRange"] == {"max": 0.05}
    assert limits["latency-p99"]["thresholdRange"] == {"max": 0.25}
    for each in limits.values():
        assert f"MetricTemplate/{each['templateRef']['name']}" in objects
    labels = objects["Deployment/fraud-detector"]["spec"]["selector"]["matchLabels"]
    assert labels["app"] == "fraud-detector"
    policy = objects["NetworkPolicy/fraud-detector"]["spec"]["podSelector"]["matchLabels"]
    assert "app" not in policy


def test_kserve_is_given_the_very_pods(tmp_path: Path) -> None:
    plain = by_kind_and_name(rendered(tmp_path / "plain", example(), image=PUBLISHED))
    objects = on(Platform.KSERVE, tmp_path, Environment.PROD, example())
    kinds = {name.partition("/")[0] for name in objects}
    assert not kinds & {"Deployment", "Service", "HorizontalPodAutoscaler", "Ingress"}
    predictor = dict(objects["InferenceService/fraud-detector"]["spec"]["predictor"])
    pod = dict(plain["Deployment/fraud-detector"]["spec"]["template"]["spec"])
    (theirs,), (ours,) = predictor.pop("containers"), pod.pop("containers")
    assert theirs == ours | {"name": "kserve-container"}
    del pod["topologySpreadConstraints"]
    assert pod.items() <= predictor.items()


def test_the_command_writes_the_objects_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        *("render", "--manifest", str(VALID / "model-manifest.yaml"), "--image", PUBLISHED),
        *("--environment", "dev", "--state", str(tmp_path / "state")),
    ]
    assert cli.run(command) == 0
    first = capsys.readouterr().out
    assert first.encode() == rendered(tmp_path, example(), Environment.DEV, PUBLISHED)
    assert cli.run([*command, "--for", "kserve"]) == 0
    assert "kind: InferenceService" in capsys.readouterr().out


def test_what_is_denied_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = f"registry.evil.example/models/fraud-detector@{DIGEST}"
    command = [
        *("render", "--manifest", str(VALID / "model-manifest.yaml"), "--image", elsewhere),
        *("--environment", "dev", "--state", str(tmp_path / "state")),
    ]
    assert cli.run(command) == 1
    said = capsys.readouterr().out
    assert "kind:" not in said
    assert "KD-IMG-002 An image comes from an approved registry" in said
    assert "Deployment/fraud-detector spec.template.spec.containers[0].image" in said
