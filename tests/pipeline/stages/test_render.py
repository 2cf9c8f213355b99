"""render: what of the manifest reaches the objects, and what of kustomize reaches the report.

What kustomize makes of it is tested with the real program in tests/system/test_rendered_objects.py.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from pipeline import digest, image_reference, resources
from pipeline import manifest as manifests
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed, InvalidInput
from pipeline.kubernetes import egress, kustomization, platforms
from pipeline.kubernetes.platforms import Platform
from pipeline.manifest import Manifest
from pipeline.places.host import FolderBuilder
from pipeline.policy.bundle import Bundle
from pipeline.policy.regocpp import RegoCpp
from pipeline.record import Outcome, StageReport
from pipeline.runtimes.host import Host
from pipeline.runtimes.interface import Invocation, Runtime, ToolNotFound
from pipeline.runtimes.interface import Outcome as Run
from pipeline.stages import render
from pipeline.stages.interface import Context
from pipeline.state import State
from pipeline.tools import kubeconform
from serving import configuration

EXAMPLE = Path(__file__).parents[3] / "examples" / "valid" / "model-manifest.yaml"
DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGE = f"registry.internal:5000/models/fraud-detector:1.2.0@{DIGEST}"
OBJECTS = b"kind: Service\n---\nkind: Deployment\n"


VALID = Run(
    0, '{"resources": [], "summary": {"valid": 2, "invalid": 0, "errors": 0, "skipped": 0}}', ""
)


class Kustomize:
    """A runtime whose two tools end as they are told, and that keeps what kustomize was given."""

    name = "told"

    def __init__(self, outcome: Run | None = None, checked: Run = VALID) -> None:
        self.outcome = outcome or Run(0, "", "", {"objects.yaml": OBJECTS})
        self.checked = checked
        self.given: dict[str, list[str]] = {}

    async def run(self, invocation: Invocation) -> Run:
        if invocation.tool == kubeconform.NAME:
            return self.checked
        for name, path in invocation.inputs.items():
            assert isinstance(path, Path)
            self.given[name] = sorted(
                entry.relative_to(path).as_posix() for entry in path.rglob("*")
            )
        return self.outcome

    async def version(self, tool: str) -> str | None:
        return "5.8.1"


class NoKustomize(Kustomize):
    async def run(self, invocation: Invocation) -> Run:
        raise ToolNotFound(invocation.tool, "Install it.")


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Manifest]:
    """The example's manifest with changes to its document."""

    def make(change: Callable[[dict[str, Any]], object] = lambda document: None) -> Manifest:
        document = yaml.safe_load(EXAMPLE.read_text())
        change(document)
        path = tmp_path / "model-manifest.yaml"
        path.write_text(json.dumps(document, default=str))
        return manifests.load(path)

    return make


@pytest.fixture
def context(tmp_path: Path, told: Any) -> Callable[[Runtime], Context]:
    def make(runtime: Runtime) -> Context:
        state = State(tmp_path / "state")
        return Context(
            environment=Environment.PROD, bundle=Bundle({}, {}, {}, {}, "sha256:none"),
            engine=RegoCpp(), runtime=runtime, builder=FolderBuilder(Host(), state), state=state,
            run_folder=tmp_path / "run", progress=told,
        )  # fmt: skip

    return make


def documents(manifest: Manifest, environment: Environment = Environment.PROD) -> dict[str, Any]:
    image = image_reference.parse(IMAGE)
    assert image is not None
    files = kustomization.files(manifest, image, environment)
    return {name: yaml.safe_load(data) for name, data in files.items()}


def patches(manifest: Manifest) -> list[dict[str, Any]]:
    found = documents(manifest)["objects/kustomization.yaml"]["patches"]
    return [each for each in found if "target" in each]


def patched(manifest: Manifest, target: str) -> dict[str, Any]:
    """What the patches of objects of that kind, or else name, put where."""
    return {
        operation["path"]: operation["value"]
        for each in patches(manifest)
        if target == each["target"].get("kind", each["target"]["name"])
        for operation in json.loads(each["patch"])
    }


def components(manifest: Manifest) -> set[str]:
    found = documents(manifest)["objects/kustomization.yaml"]["components"]
    return {each.removeprefix("../../kustomize/components/") for each in found}


def run(context: Context, manifest: Manifest, image: str = IMAGE) -> tuple[StageReport, bytes]:
    return anyio.run(render.run, context, manifest, image)


def container(manifest: Manifest) -> dict[str, Any]:
    (found,) = documents(manifest)["objects/deployment.json"]["spec"]["template"]["spec"][
        "containers"
    ]
    return dict(found)


@pytest.mark.parametrize("environment", list(Environment))
def test_an_environment_s_overlay_is_the_ground(
    load: Callable[..., Manifest], environment: Environment
) -> None:
    found = documents(load(), environment)
    (ground,) = found["objects/kustomization.yaml"]["resources"]
    assert ground == f"../../kustomize/overlays/{environment}"
    assert (resources.folder("kustomize") / "overlays" / environment).is_dir()


def test_names_and_labels_are_the_manifest_s(load: Callable[..., Manifest]) -> None:
    found = documents(load())
    selecting, describing = found["objects/kustomization.yaml"]["labels"]
    assert found["kustomization.yaml"]["namespace"] == "payments-risk"
    assert patched(load(), "^model$") == {"/metadata/name": "fraud-detector"}
    assert patched(load(), "^model-settings$") == {"/metadata/name": "fraud-detector-settings"}
    assert selecting["pairs"] == {"app.kubernetes.io/name": "fraud-detector"}
    assert describing["pairs"]["team"] == "payments-risk"
    assert "includeSelectors" not in describing


def test_the_image_is_named_by_digest(load: Callable[..., Manifest]) -> None:
    (image,) = documents(load())["objects/kustomization.yaml"]["images"]
    assert image["newName"] == "registry.internal:5000/models/fraud-detector"
    assert image["digest"] == DIGEST


def test_replicas_resources_and_probes_are_the_manifest_s(load: Callable[..., Manifest]) -> None:
    def change(document: dict[str, Any]) -> None:
        document["spec"]["inference"]["replicas"] = 3
        document["spec"]["inference"]["autoscaling"]["enabled"] = False
        document["spec"]["inference"]["healthCheck"] = {"initial_delay_seconds": 7}

    manifest = load(change)
    server = container(manifest)
    assert documents(manifest)["objects/deployment.json"]["spec"]["replicas"] == 3
    assert server["resources"] == {
        "requests": {"cpu": "250m", "memory": "512Mi"},
        "limits": {"cpu": "1", "memory": "2Gi"},
    }
    assert server["livenessProbe"]["initialDelaySeconds"] == 7
    assert server["livenessProbe"]["periodSeconds"] == 10
    assert server["readinessProbe"]["periodSeconds"] == 5


def test_without_resources_none_are_made_up(load: Callable[..., Manifest]) -> None:
    manifest = load(lambda document: document["spec"]["inference"].pop("resources"))
    assert "resources" not in container(manifest)


def test_the_exporter_s_settings_are_there_when_requests_are_traced(
    load: Callable[..., Manifest],
) -> None:
    tracing = {"enabled": True, "endpoint": "http://collector.observability:4318"}
    traced = load(lambda document: document["spec"]["observability"].update(tracing=tracing))
    untraced = load()
    assert (
        kustomization.settings(traced.model)["OTEL_EXPORTER_OTLP_ENDPOINT"] == tracing["endpoint"]
    )
    assert not kustomization.settings(untraced.model)


TOKENS = {
    "issuer": "https://login.example.com/",
    "audience": "models",
    "key_set": "https://login.example.com/oauth2/keys?policy=machines",
}


@pytest.mark.parametrize(
    ("access", "ways"),
    [
        ({"keys_secret": "callers"}, {"keys"}),
        ({"tokens": TOKENS}, {"jwt"}),
        ({"keys_secret": "callers", "tokens": TOKENS}, {"keys", "jwt"}),
    ],
)
def test_the_server_takes_what_asks_who_comes(
    load: Callable[..., Manifest], access: dict[str, Any], ways: set[str]
) -> None:
    manifest = load(lambda document: document["spec"]["inference"].update(access=access))
    asked = kustomization.settings(manifest.model)
    components = documents(manifest)["objects/kustomization.yaml"]["components"]
    mounted = any(name.endswith("/api-keys") for name in components)
    assert mounted is ("keys" in ways)
    if mounted:  # as the component has it
        asked["MLIFECYCLE_SERVING_KEYS_FILE"] = "/etc/mlifecycle/keys/keys.json"
    found = configuration.read(asked)
    assert found.authentication == ways
    assert found.public == {"health", "ready", "metrics"}
    if "jwt" in ways:
        assert (found.jwt_issuer, found.jwt_audience, found.jwt_keys) == tuple(TOKENS.values())
        (peer, _) = patched(manifest, "NetworkPolicy")["/spec/egress/-"]["to"]
        assert peer == {"ipBlock": {"cidr": "0.0.0.0/0"}}


def test_the_workload_says_where_it_comes_from(load: Callable[..., Manifest]) -> None:
    manifest = load()
    annotations = documents(manifest)["objects/deployment.json"]["metadata"]["annotations"]
    assert annotations["mlifecycle.io/version"] == "1.2.0"
    assert annotations["mlifecycle.io/manifest"] == manifest.digest
    assert annotations["mlifecycle.io/reference-dataset"] == "fraud-detector/reference.csv"


@pytest.mark.parametrize("image", ["", "fraud-detector:1.2.0", "fraud-detector@sha256:0123"])
def test_an_image_without_a_digest_is_refused_before_anything_runs(
    load: Callable[..., Manifest], context: Callable[[Runtime], Context], image: str
) -> None:
    runtime = Kustomize()
    with pytest.raises(InvalidInput) as refused:
        run(context(runtime), load(), image)
    (problem,) = refused.value.problems
    assert "by digest" in problem.expected
    assert not runtime.given


def test_the_report_names_what_went_in_and_what_came_out(
    load: Callable[..., Manifest], context: Callable[[Runtime], Context]
) -> None:
    runtime = Kustomize()
    here, manifest = context(runtime), load()
    report, objects = run(here, manifest)
    assert report.outcome is Outcome.PASSED
    assert report.summary == "2 Kubernetes objects of payments-risk/fraud-detector for prod"
    assert report.inputs["manifest"] == manifest.digest
    assert report.inputs["image"] == DIGEST
    assert report.outputs == {"objects": digest.of_bytes(objects)}
    assert (report.tools[0].tool, report.tools[0].version) == ("kustomize", "5.8.1")
    assert (here.run_folder / report.artifacts["objects"]).read_bytes() == objects == OBJECTS


def test_kustomize_is_given_the_overlays_and_the_model_s_own_files(
    load: Callable[..., Manifest], context: Callable[[Runtime], Context]
) -> None:
    runtime = Kustomize()
    run(context(runtime), load())
    assert runtime.given["model"] == [
        *("kustomization.yaml", "objects"),
        *("objects/dashboard.json", "objects/deployment.json", "objects/kustomization.yaml"),
    ]
    assert {"base", "components", "namespace", "overlays"} <= set(runtime.given["kustomize"])


def test_without_kustomize_there_is_an_error_that_says_so(
    load: Callable[..., Manifest], context: Callable[[Runtime], Context]
) -> None:
    with pytest.raises(EnvironmentFailed, match="kustomize is not installed") as failed:
        run(context(NoKustomize()), load())
    assert failed.value.remedy == "Install it."


def test_a_kustomize_that_fails_is_an_error_with_its_reason(
    load: Callable[..., Manifest], context: Callable[[Runtime], Context]
) -> None:
    runtime = Kustomize(Run(1, "", "Error: invalid Kustomization"))
    here = context(runtime)
    with pytest.raises(EnvironmentFailed, match="kustomize: invalid Kustomization"):
        run(here, load())
    assert not here.run_folder.exists()


def test_an_object_that_is_not_valid_is_a_no_with_its_place(
    load: Callable[..., Manifest], context: Callable[[Runtime], Context]
) -> None:
    found = {
        "filename": "objects.yaml", "kind": "Service", "name": "model", "version": "v1",
        "status": "statusInvalid", "msg": "at '/spec': got string, want object",
    }  # fmt: skip
    summary = {"valid": 1, "invalid": 1, "errors": 0, "skipped": 0}
    said = Run(1, json.dumps({"resources": [found], "summary": summary}), "")
    report, _ = run(context(Kustomize(checked=said)), load())
    assert report.outcome is Outcome.DENIED
    (violation,) = report.violations
    assert (violation.id, violation.path) == ("RND-OBJ-001", "Service model")
    assert violation.actual == "at '/spec': got string, want object"
    assert [tool.tool for tool in report.tools] == ["kustomize", "kubeconform"]


def test_objects_that_were_not_checked_are_none(
    load: Callable[..., Manifest], context: Callable[[Runtime], Context]
) -> None:
    summary = {"valid": 1, "invalid": 0, "errors": 1, "skipped": 0}
    error = {
        "filename": "objects.yaml", "kind": "Model", "name": "m", "version": "v1",
        "status": "statusError", "msg": "could not find schema for Model",
    }  # fmt: skip
    said = Run(1, json.dumps({"resources": [error], "summary": summary}), "")
    with pytest.raises(EnvironmentFailed, match="could not find schema for Model"):
        run(context(Kustomize(checked=said)), load())


def test_an_autoscaler_has_the_manifest_s_bounds_and_the_deployment_no_number(
    load: Callable[..., Manifest],
) -> None:
    manifest = load()
    assert "autoscaling" in components(manifest)
    assert "replicas" not in documents(manifest)["objects/deployment.json"]["spec"]
    assert patched(manifest, "HorizontalPodAutoscaler") == {
        "/spec/minReplicas": 2,
        "/spec/maxReplicas": 6,
        "/spec/metrics/0/resource/target/averageUtilization": 70,
    }


def test_what_the_manifest_does_not_ask_for_is_not_there(load: Callable[..., Manifest]) -> None:
    def change(document: dict[str, Any]) -> None:
        document["spec"]["inference"].pop("autoscaling")
        document["spec"]["monitoring"] = {"enabled": False}

    assert components(load(change)) == set()
    silent = load(
        lambda document: document["spec"]["observability"].update(metrics={"enabled": False})
    )
    assert components(silent) == {"autoscaling"}


def test_a_way_in_is_the_manifest_s(load: Callable[..., Manifest]) -> None:
    def opened(ingress: dict[str, str]) -> Manifest:
        return load(lambda document: document["spec"]["inference"].update(ingress=ingress))

    assert patched(opened({"host": "fraud.example.com"}), "Ingress") == {
        "/spec/rules/0/host": "fraud.example.com"
    }
    manifest = opened({"host": "fraud.example.com", "tls_secret": "fraud-tls"})
    assert "ingress" in components(manifest)
    assert patched(manifest, "Ingress")["/spec/tls"] == [
        {"hosts": ["fraud.example.com"], "secretName": "fraud-tls"}
    ]
    with pytest.raises(InvalidInput, match="a host name such as"):
        opened({"host": "*.example.com"})


@pytest.mark.parametrize(
    ("endpoint", "peers", "port"),
    [
        ("http://collector:4318", [{"podSelector": {}}], 4318),
        ("http://10.1.2.3:4318/v1", [{"ipBlock": {"cidr": "10.1.2.3/32"}}], 4318),
        ("https://traces.example.com", [
            {"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}},
        ], 443),
    ],
)  # fmt: skip
def test_the_way_out_is_to_what_the_manifest_names(
    endpoint: str, peers: list[Any], port: int
) -> None:
    assert egress.rule(endpoint) == {"to": peers, "ports": [{"protocol": "TCP", "port": port}]}
    assert egress.rule(None) is None


@pytest.mark.parametrize("tail", ["", ".svc", ".svc.cluster.local"])
def test_a_service_of_the_cluster_stands_for_its_namespace(
    load: Callable[..., Manifest], tail: str
) -> None:
    tracing = {"enabled": True, "endpoint": f"http://collector.observability{tail}:4318"}
    manifest = load(lambda document: document["spec"]["observability"].update(tracing=tracing))
    (peer,) = patched(manifest, "NetworkPolicy")["/spec/egress/-"]["to"]
    (chosen,) = peer["namespaceSelector"]["matchExpressions"]
    assert chosen["values"] == ["observability"]


def test_a_port_that_none_is_is_refused(load: Callable[..., Manifest]) -> None:
    tracing = {"enabled": True, "endpoint": "http://collector.observability:70000"}
    with pytest.raises(InvalidInput, match="a port from 1 to 65535"):
        load(lambda document: document["spec"]["observability"].update(tracing=tracing))


def test_what_takes_a_version_back_is_on_the_workload(load: Callable[..., Manifest]) -> None:
    assert platforms.triggers(load().model) == [
        ("rollback-error-rate", "0.05"),
        ("rollback-error-rate-window", "5m"),
        ("rollback-latency-p99-seconds", "0.25"),
        ("rollback-latency-p99-window", "5m"),
    ]
    off = load(lambda document: document["spec"].update(rollback={"enabled": False}))
    assert platforms.triggers(off.model) == []


def test_the_schemas_are_those_of_the_pinned_package() -> None:
    folder = resources.folder("kustomize") / "schemas"
    made = runpy.run_path(str(folder / "make.py"))["schemas"]()
    kept = {path.name: path.read_text() for path in folder.glob("*.json")}
    assert kept == made, "run make generate"


def files_for(manifest: Manifest, platform: Platform) -> dict[str, Any]:
    image = image_reference.parse(IMAGE)
    assert image is not None
    files = kustomization.files(manifest, image, Environment.PROD, platform)
    return dict(yaml.safe_load(files["kustomization.yaml"]))


@pytest.mark.parametrize("platform", [Platform.ARGO_ROLLOUTS, Platform.FLAGGER])
def test_what_judges_new_pods_measures_what_the_manifest_has_triggers_for(
    load: Callable[..., Manifest], platform: Platform
) -> None:
    def only(name: str) -> Manifest:
        def change(document: dict[str, Any]) -> None:
            triggers = document["spec"]["rollback"]["triggers"]
            document["spec"]["rollback"]["triggers"] = {name: triggers[name]}

        return load(change)

    shared = f"../kustomize/components/{platform}"
    both = [shared, f"{shared}/error-rate", f"{shared}/latency-p99"]
    assert files_for(load(), platform)["components"] == both
    assert files_for(only("latency_p99"), platform)["components"] == [shared, both[2]]
    assert files_for(only("error_rate"), platform)["components"] == both[:2]
    off = load(lambda document: document["spec"].update(rollback={"enabled": False}))
    with pytest.raises(InvalidInput, match=r"spec\.rollback.*judges new pods"):
        files_for(off, platform)


def test_kserve_has_the_bounds_of_the_manifest(load: Callable[..., Manifest]) -> None:
    def bounds(manifest: Manifest) -> dict[str, Any]:
        (patch,) = files_for(manifest, Platform.KSERVE)["patches"]
        return {each["path"]: each["value"] for each in json.loads(patch["patch"])}

    assert bounds(load()) == {
        "/spec/predictor/minReplicas": 2,
        "/spec/predictor/maxReplicas": 6,
        "/spec/predictor/scaleMetric": "cpu",
        "/spec/predictor/scaleTarget": 70,
    }
    fixed = load(lambda document: document["spec"]["inference"].pop("autoscaling"))
    assert bounds(fixed) == {"/spec/predictor/minReplicas": 2, "/spec/predictor/maxReplicas": 2}
