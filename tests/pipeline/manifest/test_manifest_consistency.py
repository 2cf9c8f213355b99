"""What one field says about another."""

import pytest

from pipeline.manifest.consistency import faults
from pipeline.manifest.paths import at, dotted

SPEC = "spec"
INPUTS = (SPEC, "signature", "inputs")
CASE = (SPEC, "inference", "golden_inputs", 0)
EXPECTED = (*CASE, "expected")
SCALING = (SPEC, "inference", "autoscaling")
DETECTION = (SPEC, "monitoring", "drift_detection")


def put(place, value):
    def change(document):
        at(document, place[:-1])[place[-1]] = value

    return change


def drop(*places):
    def change(document):
        for place in places:
            del at(document, place[:-1])[place[-1]]

    return change


def both(*changes):
    def change(document):
        for one in changes:
            one(document)

    return change


def twice(place):
    """Append a copy of an entry to its list."""

    def change(document):
        at(document, place[:-1]).append(dict(at(document, place)))

    return change


LANE = (SPEC, "inference", "lane")
AGREEMENT = (SPEC, "inference", "agreement")

CONTRADICTIONS = [
    (put(LANE, "auto"), "spec.inference.agreement.held_out"),
    (both(put(LANE, "auto"), put(AGREEMENT, {"tolerance": 0.001})), "agreement.held_out"),
    (both(put(LANE, "onnx"), put(AGREEMENT, {"held_out": "s3://b/k"})), "agreement.held_out"),
    (both(put(LANE, "onnx"), put(AGREEMENT, {"held_out": "../k.csv"})), "agreement.held_out"),
    (put(AGREEMENT, {"tolerance": 0.001}), "spec.inference.agreement"),
    (drop(("metadata", "labels", "team")), "metadata.labels.team"),
    (put(("metadata", "labels", "team"), ""), "metadata.labels.team"),
    (put(("metadata", "labels", "app.kubernetes.io/name"), "x"), "kubernetes.io"),
    (put(("metadata", "labels", "k8s.io/name"), "x"), "k8s.io"),
    (put(("metadata", "labels", "mlifecycle.io/release"), "x"), "mlifecycle.io"),
    (twice((*INPUTS, 0)), "spec.signature.inputs[9].name"),
    (put((*INPUTS, 0, "minimum"), 30000), "spec.signature.inputs[0].minimum"),
    (put((*INPUTS, 2, "minimum"), 0.5), "spec.signature.inputs[2].minimum"),
    (put((*INPUTS, 2, "maximum"), 23.5), "spec.signature.inputs[2].maximum"),
    (put((SPEC, "signature", "classes"), ["legitimate", "fraud", "fraud"]), "classes[2]"),
    (twice(CASE), "spec.inference.golden_inputs[4].name"),
    (drop((*CASE, "instance", "amount")), "golden_inputs[0].instance.amount"),
    (put((*CASE, "instance", "amuont"), 1), "golden_inputs[0].instance.amuont"),
    (put((*CASE, "instance", "amount"), -1), "golden_inputs[0].instance.amount"),
    (put((*CASE, "instance", "amount"), 25001), "golden_inputs[0].instance.amount"),
    (put((*CASE, "instance", "hour"), 1.5), "golden_inputs[0].instance.hour"),
    (put((*EXPECTED, "prediction"), "fruad"), "golden_inputs[0].expected.prediction"),
    (put((*EXPECTED, "prediction"), "fraud"), "golden_inputs[0].expected.prediction"),
    (put((*EXPECTED, "probabilities", "other"), 0.0), "probabilities.other"),
    (drop((*EXPECTED, "probabilities", "fraud")), "probabilities.fraud"),
    (put((*EXPECTED, "probabilities", "fraud"), 0.02), "expected.probabilities"),
    (drop((*EXPECTED, "probabilities")), "golden_inputs[0].expected.tolerance"),
    (put((SPEC, "drift", "monitored_features", 1), "merchant_rsik"), "monitored_features[1]"),
    (put((SPEC, "drift", "monitored_features", 1), "amount"), "monitored_features[1]"),
    (put((SPEC, "fairness", "protected_attributes"), ["a", "a"]), "protected_attributes[1]"),
    (put((SPEC, "explainability", "feature_importance", "x"), 0.1), "feature_importance.x"),
    (twice((SPEC, "data_sources", 0)), "spec.data_sources[2]"),
    (put((*SCALING, "min_replicas"), 7), "autoscaling.min_replicas"),
    (drop((*SCALING, "target_cpu_utilization")), "autoscaling.target_cpu_utilization"),
    (put((SPEC, "inference", "replicas"), 7), "spec.inference.replicas"),
    (put((SPEC, "inference", "replicas"), 1), "spec.inference.replicas"),
    (drop((*DETECTION, "threshold")), "drift_detection.threshold"),
    (drop((*DETECTION, "window")), "drift_detection.window"),
    (put((*DETECTION, "enabled"), False), "spec.monitoring.alerts[2].metric"),
    (drop(DETECTION), "spec.monitoring.alerts[2].metric"),
    (twice((SPEC, "monitoring", "alerts", 0)), "spec.monitoring.alerts[3].name"),
    (put((SPEC, "observability", "tracing", "enabled"), True), "tracing.endpoint"),
    (drop((SPEC, "rollback", "triggers")), "spec.rollback.triggers"),
    (put((SPEC, "rollback", "triggers"), {}), "spec.rollback.triggers"),
    (put((SPEC, "inference", "access"), {}), "spec.inference.access"),
]


def test_the_example_has_no_contradiction(valid):
    assert list(faults(valid)) == []


@pytest.mark.parametrize(("change", "place"), CONTRADICTIONS, ids=[c[1] for c in CONTRADICTIONS])
def test_a_contradiction_is_refused_in_its_place(refusals, valid, change, place):
    change(valid)
    problems = refusals(valid)
    assert any(place in p.path for p in problems)
    assert all(p.remedy and p.expected and p.value and p.line for p in problems)


@pytest.mark.parametrize(("change", "place"), CONTRADICTIONS, ids=[c[1] for c in CONTRADICTIONS])
def test_an_error_elsewhere_hides_no_contradiction(refusals, valid, change, place):
    change(valid)
    valid["spec"]["model"]["version"] = 1
    valid["unknown"] = 1
    problems = refusals(valid)
    assert any(place in p.path for p in problems)


@pytest.mark.parametrize(
    "change",
    [
        put((*SCALING, "enabled"), False),
        both(put((*SCALING, "enabled"), False), put((SPEC, "inference", "replicas"), 99)),
        put(SCALING, {"enabled": False}),
        put((SPEC, "rollback"), {"enabled": False}),
        put((SPEC, "rollback"), {"enabled": False, "triggers": {}}),
        both(put(DETECTION, {"enabled": False}), drop((SPEC, "monitoring", "alerts", 2))),
        put((SPEC, "observability", "tracing"), {"enabled": True, "endpoint": "http://c:4318"}),
        drop((*EXPECTED, "probabilities"), (*EXPECTED, "tolerance")),
        drop((*INPUTS, 0, "minimum"), (*INPUTS, 1, "maximum")),
        put((*EXPECTED, "probabilities"), {"legitimate": 0.982, "fraud": 0.0167}),
    ],
)
def test_what_is_no_contradiction(loaded, valid, change):
    change(valid)
    loaded(valid)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"metadata": [], "spec": 1},
        {"metadata": {"labels": []}, "spec": {"signature": {"inputs": "x", "classes": {}}}},
        {"spec": {"signature": {"inputs": [1, {"name": 2}, {}], "classes": [1, []]}}},
        {"spec": {"inference": {"golden_inputs": [1, {"instance": 3, "expected": []}]}}},
        {"spec": {"inference": {"autoscaling": {"min_replicas": "1", "max_replicas": True}}}},
        {"spec": {"monitoring": {"alerts": [{"name": {}, "metric": []}], "drift_detection": 1}}},
        {"spec": {"explainability": {"feature_importance": [1]}, "drift": {"x": 1}}},
    ],
)
def test_wrong_types_are_passed_over(document):
    assert all("team" in dotted(fault.place) for fault in faults(document))


def test_a_value_of_the_wrong_type_is_refused_once(refusals, valid):
    put((*CASE, "instance", "hour"), "18")(valid)
    (problem,) = refusals(valid)
    assert "not text" in problem.expected


def test_a_name_slightly_wrong_gets_a_suggestion(refusals, valid):
    valid["spec"]["drift"]["monitored_features"][1] = "merchant_rsik"
    (problem,) = refusals(valid)
    assert problem.remedy == "Did you mean merchant_risk?"
