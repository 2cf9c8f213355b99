"""Single fields: what each type refuses, and in which words."""

import contextlib
import inspect
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.manifest import seconds
from pipeline.manifest.paths import at, dotted
from pipeline.manifest.values import Dependency


def put(document, place, value):
    at(document, place[:-1])[place[-1]] = value
    return document


SPEC = "spec"
METRICS = (SPEC, "metrics")
MODEL = (SPEC, "model")
CPU = (SPEC, "inference", "resources", "limits", "cpu")
MEMORY = (SPEC, "inference", "resources", "limits", "memory")
ALERT = (SPEC, "monitoring", "alerts", 0)


def test_the_example_has_its_types(loaded, valid):
    manifest = loaded(valid)
    spec = manifest.model.spec
    assert manifest.model.api_version == "mlifecycle.io/v1"
    assert spec.model.version == "1.2.0"
    assert spec.metrics.training_date.isoformat() == valid[SPEC]["metrics"]["training_date"]
    assert spec.inference.health_check.path == "/health"
    assert spec.inference.golden_inputs[0].expected.prediction == "legitimate"
    assert manifest.document == valid
    assert manifest.folder == manifest.path.parent
    assert manifest.digest.startswith("sha256:")


def test_a_manifest_cannot_be_changed_afterwards(loaded, valid):
    manifest = loaded(valid)
    with pytest.raises(ValueError, match="frozen"):
        manifest.model.spec.model.version = "2.0.0"


def test_what_only_policies_ask_for_may_be_absent(loaded, valid):
    for name in set(valid[SPEC]) - {"model", "signature", "inference"}:
        del valid[SPEC][name]
    del valid[SPEC]["model"]["experiment_id"]
    del valid[SPEC]["inference"]["resources"]
    spec = loaded(valid).model.spec
    assert spec.metrics is None
    assert spec.observability.metrics.enabled
    assert "observability" not in loaded(valid).document[SPEC]


@pytest.mark.parametrize(
    ("place", "value", "expected", "remedy"),
    [
        ((*METRICS, "accuracy"), "0.95", "a number from 0 to 1, not text", "without quotes"),
        ((*METRICS, "accuracy"), True, "a number from 0 to 1, not true or false", "Correct it"),
        ((*METRICS, "accuracy"), 1.2, "a number from 0 to 1", "Meaning: The share of right"),
        ((*METRICS, "accuracy"), [0.9], "not a list", "Correct it"),
        ((*METRICS, "accuracy"), {"v": 0.9}, "not a mapping", "Correct it"),
        ((*METRICS, "training_samples"), 12.5, "a whole number", "Correct it"),
        ((*METRICS, "training_samples"), 0, "a whole number from 1 to", "Correct it"),
        ((*METRICS, "training_date"), "yesterday", "a date such as", "Correct it"),
        ((*METRICS, "training_date"), "2026-02-30", "a date such as", "Correct it"),
        ((*METRICS, "training_date"), 20261102, "a date such as", "quotes"),
        (METRICS, [], "a mapping, not a list", "Correct it"),
        ((*MODEL, "version"), 1.2, "not a number", "Put it in quotes"),
        ((*MODEL, "version"), "", "text such as 1.2.0", "Correct it"),
        ((*MODEL, "version"), "../../etc", "text such as 1.2.0", "Correct it"),
        ((*MODEL, "name"), "Fraud_Detector", "a DNS label", "Correct it"),
        ((*MODEL, "name"), "a" * 64, "a DNS label", "Correct it"),
        ((*MODEL, "digest"), "sha256:abc", "hexadecimal", "Correct it"),
        ((*MODEL, "uri"), "s3://user:secret@bucket/m", "without a password", "Correct it"),
        ((*MODEL, "uri"), "model.pt2; rm -rf /", "a relative path", "Correct it"),
        ((*MODEL, "uri"), "-rf", "a relative path", "Correct it"),
        (("metadata", "namespace"), "a.b", "a DNS label", "Correct it"),
        (("metadata", "labels", "cost-center"), 4711, "not a whole number", "Put it in quotes"),
        ((SPEC, "signature", "classes"), ["fraud"], "a list of 2 to 1000", "Correct it"),
        ((SPEC, "signature", "inputs"), [], "a list of 1 to 1000", "Correct it"),
        ((SPEC, "signature", "classes", 0), "<b>", "a name of at most 64", "Correct it"),
        ((SPEC, "signature", "inputs", 0, "type"), "string", "one of float, integer", "Correct"),
        ((SPEC, "monitoring", "enabled"), "yes", "true or false, not text", "small letters"),
        ((SPEC, "monitoring", "enabled"), 1, "true or false", "Correct it"),
        ((SPEC, "inference", "replicas"), 0, "a whole number from 1 to 1000", "Correct it"),
        ((SPEC, "inference", "healthCheck", "path"), "/ping", "/health", "Correct it"),
        ((*ALERT, "metric"), "cpu", "one of error_rate, latency_p99, drift", "Correct it"),
        ((*ALERT, "threshold"), 5, "a number from 0 to 1", "Correct it"),
        ((*ALERT[:-1], 1, "threshold"), 250, "a duration such as", "quotes"),
        ((*ALERT, "window"), "5 minutes", "a duration such as", "Correct it"),
        ((*ALERT, "severity"), "fatal", "one of critical, warning", "Correct it"),
        (ALERT, "error_rate", "a mapping, not text", "Correct it"),
        ((SPEC, "dependencies", 0), "torch >= ", "PEP 508", "Correct it"),
        ((SPEC, "dependencies", 0), "--index-url=x", "PEP 508", "Correct it"),
        ((SPEC, "dependencies"), "torch", "a list of at most 200, not text", "Correct it"),
        ((SPEC, "explainability", "feature_importance", "amount"), "0.4", "a number", "quotes"),
        ((SPEC, "data_sources", 0, "version"), "`id`", "one line", "Correct it"),
        ((SPEC, "model", "description"), "a\tb", "no control", "Delete"),
        (("apiVersion",), "mlifecycle.io/v2", "mlifecycle.io/v1", "Correct it"),
        (("kind",), "Deployment", "ModelDeployment", "Correct it"),
    ],
)
def test_a_wrong_value(refusals, valid, place, value, expected, remedy):
    problem = next(p for p in refusals(put(valid, place, value)) if p.path == dotted(place))
    assert expected in problem.expected
    assert remedy in problem.remedy or not remedy
    assert problem.line == 1
    assert "\n" not in str(problem)


@contextlib.contextmanager
def few_frames_left(frames):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + frames)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def test_a_requirement_too_nested_for_its_parser():
    text = f"torch>=2; {'(' * 130}os_name=='x'{')' * 130}"
    adapter = TypeAdapter(Dependency)
    assert adapter.validate_python(text) == text
    with pytest.raises(ValidationError, match=r"PEP 508 .*recursion"), few_frames_left(80):
        adapter.validate_python(text)


@pytest.mark.parametrize("text", ["1", "0.5", "0.25", "250m", "1.125", "9999"])
def test_cpu_quantities(loaded, valid, text):
    assert loaded(put(valid, CPU, text)).model.spec.inference.resources.limits.cpu == text


@pytest.mark.parametrize(
    "text", ["0", "0.0", "-1", "1 core", "0m", "1.2345", "1e3", "m", "1Gi", ""]
)
def test_no_cpu_quantities(refusals, valid, text):
    (problem,) = refusals(put(valid, CPU, text))
    assert "CPU cores" in problem.expected


@pytest.mark.parametrize("text", ["512Mi", "2Gi", "1.5Gi", "1073741824", "2G", "128000k"])
def test_memory_quantities(loaded, valid, text):
    assert loaded(put(valid, MEMORY, text)).model.spec.inference.resources.limits.memory == text


@pytest.mark.parametrize("text", ["0", "512m", "512MB", "2 Gi", "1.5", "-2Gi", "Gi", "2gi", ""])
def test_no_memory_quantities(refusals, valid, text):
    (problem,) = refusals(put(valid, MEMORY, text))
    assert "memory size" in problem.expected


@pytest.mark.parametrize(
    "key", ["team ", "-team", "a/b/c", "A/b", "x" * 64, "/x", "x/", "", "te<am", "a" * 254 + "/b"]
)
def test_label_keys_that_kubernetes_refuses(refusals, valid, key):
    valid["metadata"]["labels"][key] = "x"
    (problem,) = refusals(valid)
    assert problem.path.startswith("metadata.labels")
    assert "label key" in problem.expected


def test_label_keys_that_kubernetes_takes(loaded, valid):
    labels = {"team": "a", "example.com/Cost_Center.1": "", "x" * 63: "V.1_-2"}
    valid["metadata"]["labels"] = labels
    assert loaded(valid).model.metadata.labels == labels


@pytest.mark.parametrize(
    "endpoint", ["collector:4318", "ftp://c", "https://user:pw@c", "http://c/?q=1", "http://", "x"]
)
def test_tracing_endpoints_that_are_refused(refusals, valid, endpoint):
    valid[SPEC]["observability"]["tracing"] = {"enabled": True, "endpoint": endpoint}
    (problem,) = refusals(valid)
    assert problem.path == "spec.observability.tracing.endpoint"


@pytest.mark.parametrize(
    "address",
    [
        "http://login.example.com/keys",
        "keys.json",
        "https://u:p@login",
        "https://a:0/keys",
        "https:",
    ],
)
def test_key_sets_that_anybody_on_the_way_could_change_are_refused(refusals, valid, address):
    tokens = {"issuer": "https://login.example.com", "audience": "models", "key_set": address}
    valid[SPEC]["inference"]["access"] = {"tokens": tokens}
    (problem,) = refusals(valid)
    assert problem.path == "spec.inference.access.tokens.key_set"
    assert "https" in problem.expected or "port" in problem.expected


@pytest.mark.parametrize(
    ("place", "key", "remedy"),
    [
        (MODEL, "verison", "Did you mean version?"),
        ((SPEC, "inference"), "health_check", "Did you mean healthCheck?"),
        (("metadata",), "experiment_id", "It belongs at spec.model.experiment_id."),
        ((SPEC, "data_sources", 0), "approved", "Remove it"),
        ((), "status", "Remove it"),
        (ALERT, "for", "Remove it"),
    ],
)
def test_an_unknown_key(refusals, valid, place, key, remedy):
    at(valid, place)[key] = "x"
    (problem,) = refusals(valid)
    assert problem.path == dotted((*place, key))
    assert problem.value == "an unknown key"
    assert remedy in problem.remedy
    assert problem.expected.startswith("one of ")


@pytest.mark.parametrize(
    "place",
    [
        ("apiVersion",),
        ("metadata", "namespace"),
        (*MODEL, "uri"),
        (SPEC, "signature"),
        (SPEC, "inference", "golden_inputs"),
        (SPEC, "inference", "golden_inputs", 1, "expected"),
        (*ALERT, "window"),
        (*ALERT, "metric"),
        (SPEC, "data_sources", 0, "version"),
    ],
)
def test_a_missing_key(refusals, valid, place):
    del at(valid, place[:-1])[place[-1]]
    (problem,) = refusals(valid)
    assert (problem.path, problem.value) == (dotted(place), "missing")
    assert problem.remedy.startswith("Add it. Meaning: ")


def test_an_empty_mapping_lists_what_it_lacks(refusals):
    assert [p.path for p in refusals("{}")] == ["apiVersion", "kind", "metadata", "spec"]


def test_all_problems_come_at_once_in_the_order_of_the_file(refusals):
    text = """\
apiVersion: mlifecycle.io/v2
kind: ModelDeployment
metadata:
  name: Fraud
  namespace: risk
  labels: {}
spec:
  model: {name: fraud, version: 1.2, uri: m.pt2, framework: pytorch, uri: n.pt2}
  signature:
    inputs:
      - {name: amount, type: float, minimum: 5, maximum: 1}
    classes: [a, a]
  metrics:
    accuracy: .nan
    recall: &r 2
  inference:
    golden_inputs:
      - {name: x, instance: {amuont: 1}, expected: {prediction: c}}
  extra: !!str yes
"""
    found = [(p.line, p.path) for p in refusals(text)]
    assert found == [
        (1, "apiVersion"),
        (4, "metadata.name"),
        (6, "metadata.labels.team"),
        (8, "spec.model.uri"),
        (8, "spec.model.version"),
        (11, "spec.signature.inputs[0].minimum"),
        (12, "spec.signature.classes[1]"),
        (14, "spec.metrics.accuracy"),
        (15, "spec.metrics.recall"),
        (15, "spec.metrics.recall"),
        (18, "spec.inference.golden_inputs[0].expected.prediction"),
        (18, "spec.inference.golden_inputs[0].instance.amount"),
        (18, "spec.inference.golden_inputs[0].instance.amuont"),
        (19, "spec.extra"),
    ]


def test_thousands_of_problems_are_cut_to_a_readable_number(refusals):
    text = "".join(f"k{i}: 1\n" for i in range(20_000))
    problems = refusals(text)
    assert len(problems) == 101
    assert "more places than these" in problems[-1].value


def test_hostile_keys_and_values_are_shown_on_one_short_line(refusals, valid):
    valid["é" + "x" * 5000] = "y"
    valid["kind"] = "<script>" + "z" * 5000
    for problem in refusals(valid):
        assert len(problem.path) < 100
        assert len(problem.value) < 100
        assert str(problem).isprintable()


@pytest.mark.parametrize(
    ("text", "length"), [("250ms", 0.25), ("30s", 30), ("5m", 300), ("1h", 3600), ("2d", 172800)]
)
def test_durations_in_seconds(text, length):
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5mm", "1.5s", "5x", "²s"])
def test_no_durations(text):
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)
