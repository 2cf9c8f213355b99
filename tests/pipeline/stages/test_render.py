"""render: what of the manifest reaches the objects, and what of kustomize reaches the report.

What kustomize makes of it is tested with the real program in tests/system/test_rendered_objects.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from pipeline import digest, resources
from pipeline import manifest as manifests
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed, InvalidInput
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

EXAMPLE = Path(__file__).parents[3] / "examples" / "valid" / "model-manifest.yaml"
DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGE = f"registry.internal:5000/models/fraud-detector:1.2.0@{DIGEST}"
OBJECTS = b"kind: Service\n---\nkind: Deployment\n"


class Kustomize:
    """A runtime whose kustomize ends as it is told, and that keeps what it was given."""

    name = "told"

    def __init__(self, outcome: Run | None = None) -> None:
        self.outcome = outcome or Run(0, "", "", {"objects.yaml": OBJECTS})
        self.given: dict[str, list[str]] = {}

    async def run(self, invocation: Invocation) -> Run:
        for name, path in invocation.inputs.items():
            assert isinstance(path, Path)
            self.given[name] = sorted(entry.name for entry in path.iterdir())
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
    files = render.render(manifest, IMAGE, environment)
    return {name: yaml.safe_load(data) for name, data in files.items()}


def run(context: Context, manifest: Manifest, image: str = IMAGE) -> tuple[StageReport, bytes]:
    return anyio.run(render.run, context, manifest, image)


def container(manifest: Manifest) -> dict[str, Any]:
    (found,) = documents(manifest)["deployment.json"]["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize("environment", list(Environment))
def test_an_environment_s_overlay_is_the_ground(
    load: Callable[..., Manifest], environment: Environment
) -> None:
    kustomization = documents(load(), environment)["kustomization.yaml"]
    (ground,) = kustomization["resources"]
    assert ground == f"../kustomize/overlays/{environment}"
    assert (resources.folder("kustomize") / "overlays" / environment).is_dir()


def test_names_and_labels_are_the_manifest_s(load: Callable[..., Manifest]) -> None:
    found = documents(load())
    kustomization = found["kustomization.yaml"]
    selecting, describing = kustomization["labels"]
    assert kustomization["namespace"] == "payments-risk"
    assert found["name.json"][0]["value"] == "fraud-detector"
    assert selecting["pairs"] == {"app.kubernetes.io/name": "fraud-detector"}
    assert describing["pairs"]["team"] == "payments-risk"
    assert "includeSelectors" not in describing


def test_the_image_is_named_by_digest(load: Callable[..., Manifest]) -> None:
    (image,) = documents(load())["kustomization.yaml"]["images"]
    assert image["newName"] == "registry.internal:5000/models/fraud-detector"
    assert image["digest"] == DIGEST


def test_replicas_resources_and_probes_are_the_manifest_s(load: Callable[..., Manifest]) -> None:
    def change(document: dict[str, Any]) -> None:
        document["spec"]["inference"]["replicas"] = 3
        document["spec"]["inference"]["healthCheck"] = {"initial_delay_seconds": 7}

    manifest = load(change)
    server = container(manifest)
    assert documents(manifest)["deployment.json"]["spec"]["replicas"] == 3
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
    assert render.settings(traced.model)["OTEL_EXPORTER_OTLP_ENDPOINT"] == tracing["endpoint"]
    assert not any(name.startswith("OTEL_") for name in render.settings(untraced.model))


def test_the_workload_says_where_it_comes_from(load: Callable[..., Manifest]) -> None:
    manifest = load()
    annotations = documents(manifest)["deployment.json"]["metadata"]["annotations"]
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
    assert runtime.given["model"] == ["deployment.json", "kustomization.yaml", "name.json"]
    assert {"base", "components", "overlays"} <= set(runtime.given["kustomize"])


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
