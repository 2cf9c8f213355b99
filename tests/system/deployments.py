"""Hypothesis strategies for rendered objects: those of the example, mutated."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from manifests import VALUES, places, put

sys.path.append(str(Path(__file__).parents[1] / "pipeline" / "policy"))

from rendered_objects import DIGEST, POD, SECURITY, SERVER, Objects, thing

KINDS = [each["kind"] for each in Objects().every]
# Of the objects by their kind, so that a change finds its place whatever else is gone.
BY_KIND = {each["kind"]: each for each in Objects().every}
IMAGES = [
    f"{name}@{DIGEST}"
    for name in (
        *("ghcr.io/acme-bank/x", "ghcr.io/acme-bank/x:1", "ghcr.io/acme-bankx/x", "x", "a/b:1"),
        *("localhost:5000/x", "127.0.0.1:1/x/y:2", "localhost/x", "ghcr.io:1/acme-bank/x", ""),
        *("ghcr.io/acme-bank/../x", "ghcr.io/acme-bank/", "https://ghcr.io/x", "é/x", "a@b/c"),
    )
]
WORTHY = st.one_of(
    VALUES,
    st.sampled_from(
        [True, False, None, 0, 1, 2, 10001, "0", "ALL", "250m", "2Gi", "default", "kube-x", "prod"]
    ),
    st.sampled_from(IMAGES),
    st.sampled_from(
        [
            *([], {}, [{}], ["ALL"], {"drop": ["ALL"]}, {"type": "RuntimeDefault"}),
            *({"hostPath": {"path": "/"}}, {"matchLabels": {"team": "payments-risk"}}),
            *({"matchLabels": {}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}, {"namespaceSelector": {}}),
            *({"name": "DB_PASSWORD", "value": "x"}, {"httpGet": {"port": 1}}),
            {"containers": [{"name": "x", "image": IMAGES[0]}]},
        ]
    ),
)
MORE = [
    *((*POD, name) for name in ("hostNetwork", "initContainers", "ephemeralContainers", "volumes")),
    *((*SECURITY, name) for name in ("privileged", "runAsUser", "runAsNonRoot", "seccompProfile")),
    *((*SERVER, name) for name in ("env", "image", "resources", "livenessProbe")),
    *(("Deployment", "spec", "replicas"), ("ConfigMap", "data", "API_KEY")),
    *(("Service", "spec", "type"), ("NetworkPolicy", "spec", "ingress", 0, "from", 0)),
]
PLACES = [*places(BY_KIND), *MORE * 4]
OTHERS = [
    thing("Ingress", "networking.k8s.io/v1", spec={"rules": [{"host": "x"}], "tls": []}),
    thing("Pod", spec={"containers": [{"name": "x"}]}),
    thing("Secret", data={}),
    thing("InferenceService", "serving.kserve.io/v1beta1", spec={"predictor": {"minReplicas": 2}}),
    thing("Rollout", "argoproj.io/v1alpha1", spec={"workloadRef": {"kind": "Deployment"}}),
    *("x", None, 7, [], {}),
]


@st.composite
def deployed(draw: st.DrawFn) -> dict[str, Any]:
    """What the policy on deployments is given, its environment apart."""
    objects = {each["kind"]: each for each in Objects().every}
    changes = st.tuples(st.sampled_from(PLACES), WORTHY, st.booleans())
    for place, value, delete in draw(st.lists(changes, max_size=4)):
        put(objects, place, value, delete)
    for kind in draw(st.lists(st.sampled_from(KINDS), max_size=2)):
        if draw(st.booleans()):
            objects.pop(kind, None)
    others = draw(st.lists(st.sampled_from(OTHERS), max_size=2))
    whole = st.sampled_from([[*objects.values(), *others]] * 9 + [None])
    return {"objects": draw(whole)}
