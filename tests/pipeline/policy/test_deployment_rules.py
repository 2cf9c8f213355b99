"""Every rule on rendered objects by itself: an object that breaks it, and the place it names."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from judging import BUNDLE, decide
from rendered_objects import DIGEST, IMAGE, POD, SECURITY, SERVER, Objects, thing

from pipeline.environment import Environment
from pipeline.policy.bundle import DEPLOYMENT
from pipeline.verdict import Level

WHERE = "Deployment/fraud-detector spec.template.spec"
CONTAINER = f"{WHERE}.containers[0]"
Change = Callable[[Objects], object]


def denials(
    change: Change, environment: str = "prod", settings: dict[str, Any] | None = None
) -> set[tuple[str, str]]:
    objects = Objects()
    change(objects)
    return judged(objects.document(environment), settings)


def judged(document: Any, settings: dict[str, Any] | None = None) -> set[tuple[str, str]]:
    settings = {f"deployment.{name}": value for name, value in (settings or {}).items()}
    decision = decide(DEPLOYMENT, document, settings)
    assert decision["allow"] == (not decision["violations"])
    return {(v["id"], v["path"]) for v in decision["violations"]}


def unchanged(_: Objects) -> None:
    pass


@pytest.mark.parametrize("environment", Environment)
def test_the_example_s_objects_are_allowed(environment: str) -> None:
    assert denials(unchanged, environment) == set()


def put(*path_and_value: Any) -> Change:
    return lambda objects: objects.put(*path_and_value)


def cut(*path: str | int) -> Change:
    return lambda objects: objects.cut(*path)


def add(*things: Any) -> Change:
    return lambda objects: objects.add(*things)


def secured(name: str, value: Any) -> Change:
    return put(*SECURITY, name, value)


# A container that is allowed, to stand in another list, and pods of other kinds.
SIDE = {
    "name": "side",
    "image": IMAGE,
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
    "resources": {
        "requests": {"cpu": "10m", "memory": "16Mi"},
        "limits": {"cpu": "10m", "memory": "16Mi"},
    },
}
SETTINGS = "ConfigMap/fraud-detector-settings-52h768m25h"
LABELLED = "metadata.labels"

# Rule, the place that it must name, the change that breaks it and nothing else.
BROKEN: list[tuple[str, str, Change]] = [
    (
        "KD-KND-001",
        "ClusterRole/another kind",
        add(thing("ClusterRole", "rbac.authorization.k8s.io/v1")),
    ),
    ("KD-KND-001", "Deployment/another kind", add(thing("Deployment", "apps/v1beta1"))),
    ("KD-KND-001", "List/another kind", add(thing("List", items=[]))),
    (
        "KD-NSP-001",
        "Service/fraud-detector metadata.namespace",
        cut("Service", "metadata", "namespace"),
    ),
    (
        "KD-NSP-001",
        "Service/fraud-detector metadata.namespace",
        put("Service", "metadata", "namespace", "default"),
    ),
    (
        "KD-NSP-001",
        "Service/fraud-detector metadata.namespace",
        put("Service", "metadata", "namespace", "kube-system"),
    ),
    (
        "KD-NSP-001",
        "Namespace/default metadata.name",
        put("Namespace", "metadata", "name", "default"),
    ),
    (
        "KD-NSP-002",
        f"Namespace/payments-risk {LABELLED}",
        put("Namespace", "metadata", "labels", "pod-security.kubernetes.io/enforce", "baseline"),
    ),
    ("KD-NSP-002", f"Namespace/payments-risk {LABELLED}", cut("Namespace", "metadata", "labels")),
    (
        "KD-LBL-001",
        f"Service/fraud-detector {LABELLED}",
        cut("Service", "metadata", "labels", "team"),
    ),
    (
        "KD-LBL-001",
        f"Service/fraud-detector {LABELLED}",
        put("Service", "metadata", "labels", "team", ""),
    ),
    (
        "KD-LBL-002",
        f"Service/fraud-detector {LABELLED}",
        put("Service", "metadata", "labels", "mlifecycle.io/environment", "dev"),
    ),
    ("KD-SCR-002", f"{SETTINGS} data.DB_PASSWORD", put("ConfigMap", "data", "DB_PASSWORD", "x")),
    ("KD-SCR-002", f"{SETTINGS} data.api-key", put("ConfigMap", "data", "api-key", "x")),
    (
        "KD-SCR-002",
        f"{SETTINGS} data.tls",
        put("ConfigMap", "data", "tls", "-----BEGIN RSA PRIVATE KEY-----\n"),
    ),
    (
        "KD-SCR-002",
        f"{SETTINGS} binaryData.token",
        put("ConfigMap", "binaryData", {"token": "eA=="}),
    ),
    (
        "KD-SCR-002",
        f"{CONTAINER}.env[0]",
        put(*SERVER, "env", [{"name": "HF_TOKEN", "value": "x"}]),
    ),
    ("KD-PRV-001", f"{CONTAINER}.securityContext.privileged", secured("privileged", True)),
    ("KD-PRV-001", f"{CONTAINER}.securityContext.privileged", secured("privileged", "false")),
    (
        "KD-USR-001",
        f"{CONTAINER}.securityContext.runAsNonRoot",
        cut(*POD, "securityContext", "runAsNonRoot"),
    ),
    ("KD-USR-001", f"{CONTAINER}.securityContext.runAsNonRoot", secured("runAsNonRoot", False)),
    (
        "KD-USR-002",
        f"{CONTAINER}.securityContext.runAsUser",
        cut(*POD, "securityContext", "runAsUser"),
    ),
    ("KD-USR-002", f"{CONTAINER}.securityContext.runAsUser", secured("runAsUser", 0)),
    ("KD-USR-002", f"{CONTAINER}.securityContext.runAsUser", secured("runAsUser", "10001")),
    (
        "KD-USR-002",
        f"{CONTAINER}.securityContext.runAsGroup",
        put(*POD, "securityContext", "runAsGroup", 0),
    ),
    (
        "KD-ESC-001",
        f"{CONTAINER}.securityContext.allowPrivilegeEscalation",
        cut(*SECURITY, "allowPrivilegeEscalation"),
    ),
    (
        "KD-ESC-001",
        f"{CONTAINER}.securityContext.allowPrivilegeEscalation",
        secured("allowPrivilegeEscalation", True),
    ),
    ("KD-CAP-001", f"{CONTAINER}.securityContext.capabilities", cut(*SECURITY, "capabilities")),
    (
        "KD-CAP-001",
        f"{CONTAINER}.securityContext.capabilities",
        secured("capabilities", {"drop": ["NET_RAW"]}),
    ),
    (
        "KD-CAP-001",
        f"{CONTAINER}.securityContext.capabilities",
        secured("capabilities", {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
    ),
    (
        "KD-SEC-001",
        f"{CONTAINER}.securityContext.seccompProfile.type",
        cut(*POD, "securityContext", "seccompProfile"),
    ),
    (
        "KD-SEC-001",
        f"{CONTAINER}.securityContext.seccompProfile.type",
        secured("seccompProfile", {"type": "Unconfined"}),
    ),
    (
        "KD-FS-001",
        f"{CONTAINER}.securityContext.readOnlyRootFilesystem",
        cut(*SECURITY, "readOnlyRootFilesystem"),
    ),
    (
        "KD-FS-001",
        f"{CONTAINER}.securityContext.readOnlyRootFilesystem",
        secured("readOnlyRootFilesystem", False),
    ),
    ("KD-HST-001", f"{WHERE}.hostNetwork", put(*POD, "hostNetwork", True)),
    ("KD-HST-001", f"{WHERE}.hostPID", put(*POD, "hostPID", True)),
    ("KD-HST-001", f"{WHERE}.hostIPC", put(*POD, "hostIPC", "false")),
    ("KD-HST-002", f"{CONTAINER}.ports[0].hostPort", put(*SERVER, "ports", 0, "hostPort", 8000)),
    (
        "KD-VOL-001",
        f"{WHERE}.volumes[0]",
        put(*POD, "volumes", 0, {"name": "tmp", "hostPath": {"path": "/"}}),
    ),
    (
        "KD-VOL-001",
        f"{WHERE}.volumes[0]",
        put(*POD, "volumes", 0, {"name": "tmp", "emptyDir": {}, "hostPath": {"path": "/"}}),
    ),
    (
        "KD-VOL-001",
        f"{WHERE}.volumes[0]",
        put(*POD, "volumes", 0, {"name": "tmp", "nfs": {"server": "x"}}),
    ),
    ("KD-VOL-001", f"{WHERE}.volumes", put(*POD, "volumes", {"hostPath": {"path": "/"}})),
    (
        "KD-TOK-001",
        f"{WHERE}.automountServiceAccountToken",
        cut(*POD, "automountServiceAccountToken"),
    ),
    (
        "KD-TOK-001",
        f"{WHERE}.automountServiceAccountToken",
        put(*POD, "automountServiceAccountToken", True),
    ),
    ("KD-RES-001", f"{CONTAINER}.resources.cpu", cut(*SERVER, "resources", "limits", "cpu")),
    (
        "KD-RES-001",
        f"{CONTAINER}.resources.memory",
        cut(*SERVER, "resources", "requests", "memory"),
    ),
    ("KD-RES-001", f"{CONTAINER}.resources.cpu", put(*SERVER, "resources", "requests", "cpu", "2")),
    (
        "KD-RES-001",
        f"{CONTAINER}.resources.memory",
        put(*SERVER, "resources", "limits", "memory", "much"),
    ),
    ("KD-PRB-001", f"{CONTAINER}.startupProbe", cut(*SERVER, "startupProbe")),
    ("KD-PRB-001", f"{CONTAINER}.livenessProbe", cut(*SERVER, "livenessProbe")),
    (
        "KD-PRB-001",
        f"{CONTAINER}.readinessProbe",
        put(*SERVER, "readinessProbe", {"periodSeconds": 5}),
    ),
    (
        "KD-IMG-001",
        f"{CONTAINER}.image",
        put(*SERVER, "image", "ghcr.io/acme-bank/fraud-detector:1.2.0"),
    ),
    (
        "KD-IMG-001",
        f"{CONTAINER}.image",
        put(*SERVER, "image", "ghcr.io/acme-bank/fraud-detector@sha256:0123"),
    ),
    (
        "KD-IMG-002",
        f"{CONTAINER}.image",
        put(*SERVER, "image", f"ghcr.io/acme-bank-evil/fraud-detector@{DIGEST}"),
    ),
    (
        "KD-REP-001",
        "Deployment/fraud-detector spec.replicas",
        put("HorizontalPodAutoscaler", "spec", "minReplicas", 1),
    ),
    ("KD-PDB-001", "Deployment/fraud-detector PodDisruptionBudget", cut("PodDisruptionBudget")),
    (
        "KD-PDB-001",
        "Deployment/fraud-detector PodDisruptionBudget",
        put(
            "PodDisruptionBudget",
            "spec",
            "selector",
            {"matchLabels": {"app.kubernetes.io/name": "another"}},
        ),
    ),
    (
        "KD-PDB-001",
        "Deployment/fraud-detector PodDisruptionBudget",
        put("PodDisruptionBudget", "spec", "selector", {}),
    ),
    (
        "KD-PDB-001",
        "Deployment/fraud-detector PodDisruptionBudget",
        cut("PodDisruptionBudget", "spec", "maxUnavailable"),
    ),
    (
        "KD-PDB-001",
        "Deployment/fraud-detector PodDisruptionBudget",
        put("PodDisruptionBudget", "metadata", "namespace", "elsewhere"),
    ),
    (
        "KD-HPA-001",
        "Deployment/fraud-detector HorizontalPodAutoscaler",
        put("HorizontalPodAutoscaler", "spec", "metrics", []),
    ),
    (
        "KD-HPA-001",
        "Deployment/fraud-detector HorizontalPodAutoscaler",
        put("HorizontalPodAutoscaler", "spec", "maxReplicas", 1),
    ),
    ("KD-NET-001", "Deployment/fraud-detector NetworkPolicy", cut("NetworkPolicy")),
    (
        "KD-NET-001",
        "Deployment/fraud-detector NetworkPolicy",
        put("NetworkPolicy", "spec", "policyTypes", ["Ingress"]),
    ),
    (
        "KD-NET-001",
        "Deployment/fraud-detector NetworkPolicy",
        put("NetworkPolicy", "spec", "podSelector", {"matchLabels": {"x": "y"}}),
    ),
    (
        "KD-NET-002",
        "NetworkPolicy/fraud-detector spec.ingress[0]",
        cut("NetworkPolicy", "spec", "ingress", 0, "from"),
    ),
    (
        "KD-NET-002",
        "NetworkPolicy/fraud-detector spec.ingress[0]",
        put("NetworkPolicy", "spec", "ingress", 0, {}),
    ),
    (
        "KD-NET-002",
        "NetworkPolicy/fraud-detector spec.ingress[0]",
        put("NetworkPolicy", "spec", "ingress", 0, "from", 0, {"ipBlock": {"cidr": "0.0.0.0/0"}}),
    ),
    (
        "KD-NET-002",
        "NetworkPolicy/fraud-detector spec.ingress[0]",
        put("NetworkPolicy", "spec", "ingress", 0, "from", 0, {"namespaceSelector": {}}),
    ),
    (
        "KD-NET-002",
        "NetworkPolicy/fraud-detector spec.egress[0]",
        cut("NetworkPolicy", "spec", "egress", 0, "to"),
    ),
    ("KD-SVC-001", "Service/fraud-detector spec", put("Service", "spec", "type", "LoadBalancer")),
    (
        "KD-SVC-001",
        "Service/fraud-detector spec",
        put("Service", "spec", "externalIPs", ["10.0.0.1"]),
    ),
]


def _named(value: Any) -> str | None:
    return value if isinstance(value, str) else None


@pytest.mark.parametrize(("rule", "place", "change"), BROKEN, ids=_named)
def test_an_object_that_breaks_a_rule_is_denied_for_it_alone(
    rule: str, place: str, change: Change
) -> None:
    assert denials(change) == {(rule, place)}


def ingress(**spec: Any) -> dict[str, Any]:
    return thing("Ingress", "networking.k8s.io/v1", spec=spec)


HOST = {"host": "fraud.example.com", "http": {"paths": []}}
TLS = {"hosts": ["fraud.example.com"], "secretName": "fraud-tls"}


OPEN = {"ingress.authentication_required": False}


def test_an_ingress_is_for_a_host_and_encrypted() -> None:
    assert denials(add(ingress(rules=[HOST], tls=[TLS])), "prod", OPEN) == set()
    rule = ("KD-ING-001", "Ingress/another spec.rules[0].host")
    for tls in ([], [TLS | {"hosts": []}], [TLS | {"secretName": ""}], None):
        assert denials(add(ingress(rules=[HOST], tls=tls)), "prod", OPEN) == {rule}
    assert denials(add(ingress(rules=[HOST])), "dev") == set()
    everything = ("KD-ING-001", "Ingress/another spec.rules")
    found = denials(add(ingress(rules=[{"http": {}}], tls=[TLS])), "prod", OPEN)
    assert found == {rule, everything}
    found = denials(add(ingress(defaultBackend={}, rules=[HOST], tls=[TLS])), "prod", OPEN)
    assert found == {everything}
    assert denials(add(ingress()), "prod", OPEN) == {everything}


ASKS = "MLIFECYCLE_SERVING_AUTHENTICATION"


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_pods_behind_an_ingress_ask_who_comes(environment: str) -> None:
    def way_in() -> dict[str, Any]:
        return ingress(rules=[HOST], tls=[TLS])

    rule = {("KD-ING-002", f"{WHERE}.containers")}
    assert denials(add(way_in()), environment) == rule
    for ways in ("keys", "jwt", "keys,jwt", "keys, jwt"):
        set_so = put("ConfigMap", "data", ASKS, ways)
        assert denials(lambda o, change=set_so: change(o).add(way_in()), environment) == set()
    for ways in ("", "none", "keys,none", "Keys", ",", None, 7, ["keys"]):
        set_so = put("ConfigMap", "data", ASKS, ways)
        found = denials(lambda o, change=set_so: change(o).add(way_in()), environment)
        assert rule <= found
    # Somebody else's settings are not the pods'.
    other = thing("ConfigMap", data={ASKS: "keys"})
    assert denials(add(way_in(), other), environment) == rule
    assert denials(add(way_in()), "dev") == set()
    for demanded in (True, None, "no"):
        settings = {"ingress.authentication_required": demanded}
        assert rule <= denials(add(way_in()), "dev", settings)


def test_a_secret_is_denied_in_any_version() -> None:
    found = denials(add(thing("Secret", stringData={"password": "x"})))
    assert found == {("KD-SCR-001", "Secret/another kind"), ("KD-KND-001", "Secret/another kind")}


def test_a_secret_that_is_referred_to_is_none() -> None:
    variable = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
    assert denials(put(*SERVER, "env", [variable])) == set()
    assert denials(put("ConfigMap", "data", "TOKEN", "")) == set()


def test_a_found_secret_is_not_shown() -> None:
    objects = Objects().put("ConfigMap", "data", "TOKEN", "s3cr3t")
    assert "s3cr3t" not in str(decide(DEPLOYMENT, objects.document("prod")))


@pytest.mark.parametrize("kind", ["initContainers", "ephemeralContainers"])
def test_other_containers_of_a_pod_are_judged_alike(kind: str) -> None:
    assert denials(put(*POD, kind, [SIDE])) == set()
    side = copy.deepcopy(SIDE)
    side["securityContext"]["privileged"] = True
    side["image"] = "evil.example/x:latest"
    place = f"{WHERE}.{kind}[0]"
    assert denials(put(*POD, kind, [side])) == {
        ("KD-PRV-001", f"{place}.securityContext.privileged"),
        ("KD-IMG-001", f"{place}.image"),
        ("KD-IMG-002", f"{place}.image"),
    }
    for wrong in ([None], ["x"], {"a": SIDE}, "x", 7):
        rules = {rule for rule, _ in denials(put(*POD, kind, wrong))}
        assert "KD-POD-001" in rules, wrong


def test_only_an_ephemeral_container_needs_no_resources() -> None:
    bare = {key: value for key, value in SIDE.items() if key != "resources"}
    assert denials(put(*POD, "ephemeralContainers", [bare])) == set()
    found = denials(put(*POD, "initContainers", [bare]))
    assert {rule for rule, _ in found} == {"KD-RES-001"}


PRIVILEGED = {"name": "x", "image": "evil.example/x", "securityContext": {"privileged": True}}
EVIL = {"containers": [PRIVILEGED]}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("Pod", {"spec": EVIL}),
        ("Job", {"spec": {"template": {"spec": EVIL}}}),
        ("CronJob", {"spec": {"jobTemplate": {"spec": {"template": {"spec": EVIL}}}}}),
        ("InferenceService", {"spec": {"predictor": EVIL}}),
        ("PodTemplate", {"template": {"spec": EVIL}}),
        ("Anything", {"a": [{"b": {"c": EVIL}}]}),
        ("List", {"items": [thing("Pod", spec=EVIL)]}),
        ("Pod", {"spec": {"initContainers": [PRIVILEGED]}}),
    ],
)
def test_a_pod_spec_is_found_in_any_kind(kind: str, body: dict[str, Any]) -> None:
    rules = {rule for rule, place in denials(add(thing(kind, "x/v1", **body)))}
    expected = {
        *("KD-KND-001", "KD-PRV-001", "KD-USR-001", "KD-USR-002", "KD-ESC-001", "KD-CAP-001"),
        *("KD-SEC-001", "KD-FS-001", "KD-TOK-001", "KD-RES-001", "KD-IMG-001", "KD-IMG-002"),
        "KD-NET-001",
    }
    assert expected <= rules


@pytest.mark.parametrize("kind", ["Job", "CronJob"])
def test_what_ends_by_itself_is_not_probed_and_not_scaled(kind: str) -> None:
    rules = {rule for rule, _ in denials(add(thing(kind, "batch/v1", spec=EVIL)))}
    assert not rules & {"KD-PRB-001", "KD-REP-001", "KD-HPA-001", "KD-PDB-001"}


@pytest.mark.parametrize(
    "image",
    [
        "ghcr.io/acme-bankfraud",
        "ghcr.io/acme-bank",
        "ghcr.io/acme-bank/",
        "ghcr.io/other/acme-bank/x",
        "ghcr.io.evil.example/acme-bank/x",
        "evil.example/ghcr.io/acme-bank/x",
        "ghcr.io:5000/acme-bank/x",
        "ghcr.io/acme-bank/../other/x",
        "https://ghcr.io/acme-bank/x",
        "ghcr.io@evil.example/acme-bank/x",
        "acme-bank/x",
        "x",
        "127.0.0.1:5000/acme-bank/x",
        "GHCR.IO/acme-bank/x",
        " ghcr.io/acme-bank/x",
        "",
    ],
)
def test_registries_are_compared_by_whole_host_and_path(image: str) -> None:
    rules = {rule for rule, _ in denials(put(*SERVER, "image", f"{image}@{DIGEST}"))}
    assert "KD-IMG-002" in rules


@pytest.mark.parametrize(
    ("registries", "image", "allowed"),
    [
        (["ghcr.io"], "ghcr.io/any/thing:1", True),
        (["ghcr.io/acme/"], "ghcr.io/acme/x", True),
        (["docker.io"], "payments-risk/fraud-detector:1.2.0", True),
        (["docker.io"], "localhost/x", False),
        (["localhost:5000"], "localhost:5000/x", True),
        (["localhost:5000"], "localhost:5001/x", False),
        (["localhost:*"], "localhost:5001/x:1", True),
        (["localhost:*"], "localhost/x", False),
        (["127.0.0.1:*"], "127.0.0.1:34567/x/y", True),
        (["127.0.0.1:*"], "localhost:34567/x/y", False),
        (["evil.example:*"], "evil.example:5000/x", False),
        (["*"], "ghcr.io/x", False),
        ([""], "ghcr.io/x", False),
        ([], "ghcr.io/x", False),
        ("ghcr.io", "ghcr.io/x", False),
        (None, "ghcr.io/x", False),
        ([7, None], "ghcr.io/x", False),
    ],
)
def test_what_a_registry_in_the_data_approves(registries: Any, image: str, allowed: bool) -> None:
    change = put(*SERVER, "image", f"{image}@{DIGEST}")
    found = denials(change, settings={"registries": registries})
    assert found == (set() if allowed else {("KD-IMG-002", f"{CONTAINER}.image")})


def test_replicas_are_the_autoscaler_s_or_else_the_workload_s() -> None:
    def fixed(replicas: Any) -> Change:
        return lambda o: o.cut("HorizontalPodAutoscaler").put(
            "Deployment", "spec", "replicas", replicas
        )

    scaler = ("KD-HPA-001", "Deployment/fraud-detector HorizontalPodAutoscaler")
    few = ("KD-REP-001", "Deployment/fraud-detector spec.replicas")
    assert denials(fixed(2)) == {scaler}
    for replicas in (1, 0, -2, None, "2", 2.5, True):
        assert denials(fixed(replicas)) == {scaler, few}
    assert denials(cut("HorizontalPodAutoscaler")) == {scaler, few}
    assert denials(fixed(1), "dev") == set()
    other = put("HorizontalPodAutoscaler", "spec", "scaleTargetRef", "name", "other")
    assert denials(other) == {scaler, few}
    twice = add(Objects().at("HorizontalPodAutoscaler"))
    assert denials(twice) == {scaler, few}


def test_an_autoscaler_of_a_rollout_that_takes_the_pods_over_counts() -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "fraud-detector"}
    rollout = thing("Rollout", "argoproj.io/v1alpha1", spec={"workloadRef": reference})
    target = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "another"}

    def change(objects: Objects) -> None:
        objects.add(rollout).put("HorizontalPodAutoscaler", "spec", "scaleTargetRef", target)

    assert denials(change) == set()
    assert len(denials(lambda o: change(o) or o.cut("Rollout"))) == 2


def test_an_empty_selector_is_that_of_all_pods_of_a_network_policy_only() -> None:
    assert denials(put("NetworkPolicy", "spec", "podSelector", {})) == set()
    expression = [{"key": "x", "operator": "DoesNotExist"}]
    change = put("NetworkPolicy", "spec", "podSelector", "matchExpressions", expression)
    assert {rule for rule, _ in denials(change)} == {"KD-NET-001"}


@pytest.mark.parametrize(
    ("name", "lacking", "rule"),
    [
        ("disruption_budget.required", "PodDisruptionBudget", "KD-PDB-001"),
        ("network_policy.required", "NetworkPolicy", "KD-NET-001"),
    ],
)
@pytest.mark.parametrize("value", [None, "no", 0, [], {}])
def test_only_false_switches_a_demand_off(name: str, lacking: str, rule: str, value: Any) -> None:
    assert denials(cut(lacking), settings={name: False}) == set()
    assert {each for each, _ in denials(cut(lacking), settings={name: value})} == {rule}


@pytest.mark.parametrize("value", [None, "x", 7, True, [], {}])
def test_settings_that_are_missing_or_wrong_grant_nothing(value: Any) -> None:
    for name, rule in (
        *(("registries", "KD-IMG-002"), ("kinds", "KD-KND-001"), ("labels", "KD-LBL-001")),
    ):
        assert {each for each, _ in denials(unchanged, settings={name: value})} == {rule}
    if value != 7:
        found = denials(unchanged, settings={"replicas.minimum": value})
        assert {rule for rule, _ in found} == {"KD-REP-001"}


@pytest.mark.parametrize("value", [None, [], {}, "x", 7, True, [None], [[]], ["x"], [{}]])
def test_no_objects_are_no_deployment(value: Any) -> None:
    assert ("KD-OBJ-001", "objects") in judged({"environment": "prod", "objects": value})
    assert ("KD-OBJ-001", "objects") in judged({"environment": "prod"})


@pytest.mark.parametrize("path", [("apiVersion",), ("kind",), ("metadata", "name")])
@pytest.mark.parametrize("value", [None, "", 7, [], {}])
def test_what_cannot_be_named_is_denied(path: tuple[str, ...], value: Any) -> None:
    service = Objects().at("Service")
    above = service if len(path) == 1 else service[path[0]]
    above[path[-1]] = value
    found = denials(lambda o: o.cut("Service").add(service))
    assert "KD-OBJ-002" in {rule for rule, _ in found}


def test_objects_without_pods_are_no_deployment() -> None:
    assert ("KD-OBJ-001", "objects") in denials(cut("Deployment"))


@pytest.mark.parametrize("environment", ["mars", "", None, 7, []])
def test_an_unknown_environment_denies(environment: Any) -> None:
    document = Objects().document("prod") | {"environment": environment}
    assert ("KD-ENV-001", "environment") in judged(document)


def test_every_rule_is_broken_by_an_object_of_these_tests() -> None:
    elsewhere = {
        *("KD-ENV-001", "KD-OBJ-001", "KD-OBJ-002", "KD-POD-001", "KD-SCR-001"),
        *("KD-ING-001", "KD-ING-002"),
    }
    rules = {rule.id for rule in BUNDLE.rules.values() if rule.id.startswith("KD-")}
    assert rules == {rule for rule, _, _ in BROKEN} | elsewhere
    assert {BUNDLE.rules[rule].severity for rule in rules} == {Level.DENY}


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in below:
        found.append((*place, key))
        if isinstance(item, dict | list):
            found += _places(item, (*place, key))
    return found


# What may be absent from a container and its pod without a rule on it.
FREE = {
    *("env", "envFrom", "lifecycle", "name", "ports", "volumeMounts", "volumes"),
    *("enableServiceLinks", "serviceAccountName", "terminationGracePeriodSeconds"),
    "topologySpreadConstraints",
}


def test_what_is_absent_from_a_pod_is_denied_wherever_a_rule_speaks_of_it() -> None:
    pod = Objects().at(*POD)
    for place in _places(pod):
        if FREE & set(place) or place[-1] in {
            "periodSeconds",
            "timeoutSeconds",
            "failureThreshold",
            "initialDelaySeconds",
            "path",
            "port",
        }:
            continue
        assert denials(cut(*POD, *place)), place
