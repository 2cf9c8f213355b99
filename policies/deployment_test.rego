# Run with: opa test policies --ignore '*.yaml' --ignore '*.yml' --coverage
package mlifecycle.deployment_test

import data.mlifecycle.deployment

settings := {
	"registries": ["ghcr.io/bank", "localhost:*"],
	"kinds": ["apps/v1 Deployment", "v1 Other", "v1 Namespace", "v1 ConfigMap", "v1 Service"],
	"labels": ["team"],
	"replicas": {"minimum": 2},
	"disruption_budget": {"required": true},
	"autoscaler": {"required": true},
	"network_policy": {"required": true},
	"ingress": {"tls_required": true, "authentication_required": true},
}

digest := "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

probe := {"httpGet": {"path": "/health", "port": 8000}}

container := {
	"name": "server",
	"image": concat("@", ["ghcr.io/bank/fraud:1", digest]),
	"env": [{"name": "TOKEN", "valueFrom": {}}],
	"envFrom": [{"configMapRef": {"name": "fraud"}}],
	"ports": [{"containerPort": 8000}],
	"securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
	"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
	"startupProbe": probe,
	"livenessProbe": probe,
	"readinessProbe": probe,
}

pod := {
	"automountServiceAccountToken": false,
	"securityContext": {"runAsNonRoot": true, "runAsUser": 1, "runAsGroup": 1, "seccompProfile": {"type": "RuntimeDefault"}},
	"containers": [container],
	"volumes": [{"name": "tmp", "emptyDir": {}}],
}

metadata := {"name": "fraud", "namespace": "risk", "labels": {"team": "risk", "mlifecycle.io/environment": "bank"}}

selector := {"matchLabels": {"app": "fraud"}}

thing(version, kind, more) := object.union({"apiVersion": version, "kind": kind, "metadata": metadata}, more)

workload := {"spec": {"template": {"metadata": {"labels": {"app": "fraud"}}, "spec": pod}}}

objects := {
	"Namespace": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "risk", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
	"ConfigMap": thing("v1", "ConfigMap", {"data": {"A": "1", "MLIFECYCLE_SERVING_AUTHENTICATION": "keys,jwt"}}),
	"Service": thing("v1", "Service", {"spec": {"ports": []}}),
	"Deployment": thing("apps/v1", "Deployment", workload),
	"Budget": thing("v1", "PodDisruptionBudget", {"spec": {"maxUnavailable": 1, "selector": selector}}),
	"Scaler": thing("v1", "HorizontalPodAutoscaler", {"spec": {
		"scaleTargetRef": {"kind": "Deployment", "name": "fraud"},
		"minReplicas": 2,
		"maxReplicas": 3,
		"metrics": [{}],
	}}),
	"Policy": thing("v1", "NetworkPolicy", {"spec": {
		"podSelector": selector,
		"policyTypes": ["Ingress", "Egress"],
		"ingress": [{"from": [{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
		"egress": [{"to": [{"podSelector": {}}]}],
	}}),
	"Ingress": thing("v1", "Ingress", {"spec": {"rules": [{"host": "x.example"}], "tls": [{"hosts": ["x.example"], "secretName": "x"}]}}),
}

kinds := array.concat(settings.kinds, ["v1 PodDisruptionBudget", "v1 HorizontalPodAutoscaler", "v1 NetworkPolicy", "v1 Ingress"])

decision_on(things, deployment_settings) := answer if {
	answer := deployment.decision with input as {"environment": "bank", "objects": things}
		with data.mlifecycle.environments as {"bank": {"deployment": deployment_settings}}
}

fired(things) := {v.id | some v in decision_on(things, object.union(settings, {"kinds": kinds})).violations}

listed(patches) := [thing | some thing in json.patch(objects, patches)]

put(path, value) := fired(listed([{"op": "add", "path": path, "value": value}]))

cut(path) := fired(listed([{"op": "remove", "path": path}]))

in_pod(path, value) := put(concat("", ["/Deployment/spec/template/spec", path]), value)

in_container(path, value) := in_pod(concat("", ["/containers/0", path]), value)

with_image(image) := in_container("/image", concat("@", [image, digest]))

beside(thing) := fired(array.concat(listed([]), [thing]))

test_allowed if decision_on(listed([]), object.union(settings, {"kinds": kinds})) == {"allow": true, "violations": []}

test_environment if {
	answer := deployment.decision with input as {} with data.mlifecycle.environments as {}
	not answer.allow
	{v.id | some v in answer.violations} == {"KD-ENV-001", "KD-OBJ-001"}
}

test_objects if {
	fired([]) == {"KD-OBJ-001"}
	"KD-OBJ-001" in cut("/Deployment")
	"KD-OBJ-002" in beside("x")
	cut("/ConfigMap/apiVersion") == {"KD-OBJ-002", "KD-KND-001"}
	beside(thing("v2", "Other", {})) == {"KD-KND-001"}
	put("/ConfigMap/metadata/namespace", "default") == {"KD-NSP-001"}
	put("/ConfigMap/metadata/namespace", "kube-system") == {"KD-NSP-001"}
	cut("/ConfigMap/metadata/namespace") == {"KD-NSP-001"}
	cut("/Namespace/metadata/labels") == {"KD-NSP-002"}
	cut("/ConfigMap/metadata/labels/team") == {"KD-LBL-001"}
	put("/ConfigMap/metadata/labels/mlifecycle.io~1environment", "dev") == {"KD-LBL-002"}
	{v.id | some v in decision_on(listed([]), object.union(settings, {"kinds": kinds, "labels": []})).violations} == {"KD-LBL-001"}
}

test_secrets if {
	beside(thing("v1", "Secret", {})) == {"KD-SCR-001", "KD-KND-001"}
	put("/ConfigMap/data/PASSWORD", "x") == {"KD-SCR-002"}
	put("/ConfigMap/data/A", "-----BEGIN PRIVATE KEY-----") == {"KD-SCR-002"}
	in_container("/env/0/value", "x") == {"KD-SCR-002"}
}

test_containers if {
	in_pod("/containers", []) == {"KD-POD-001", "KD-ING-002"}
	in_pod("/containers", ["x"]) & {"KD-POD-001", "KD-IMG-001"} == {"KD-POD-001", "KD-IMG-001"}
	in_pod("/initContainers", {}) == {"KD-POD-001"}
	in_pod("/initContainers", []) == set()
	in_pod("/initContainers", [container]) == set()
	in_pod("/ephemeralContainers", [object.remove(container, ["resources"])]) == set()
	in_container("/securityContext/privileged", true) == {"KD-PRV-001"}
	in_container("/securityContext/runAsNonRoot", false) == {"KD-USR-001"}
	in_container("/securityContext/runAsUser", 0) == {"KD-USR-002"}
	in_container("/securityContext/allowPrivilegeEscalation", true) == {"KD-ESC-001"}
	in_container("/securityContext/capabilities", {"drop": ["ALL"], "add": ["X"]}) == {"KD-CAP-001"}
	in_container("/securityContext/seccompProfile", {"type": "Unconfined"}) == {"KD-SEC-001"}
	in_container("/securityContext/readOnlyRootFilesystem", null) == {"KD-FS-001"}
	in_container("/resources/limits", {}) == {"KD-RES-001"}
	in_container("/resources/requests/cpu", "500m") == set()
	in_container("/startupProbe", {}) == {"KD-PRB-001"}
	in_container("/ports/0/hostPort", 1) == {"KD-HST-002"}
}

test_pods if {
	in_pod("/hostNetwork", true) == {"KD-HST-001"}
	in_pod("/volumes/0", {"name": "x", "hostPath": {}}) == {"KD-VOL-001"}
	in_pod("/volumes", {}) == {"KD-VOL-001"}
	in_pod("/automountServiceAccountToken", true) == {"KD-TOK-001"}
	job := thing("v1", "Job", {"spec": {"template": {"metadata": {"labels": {"app": "fraud"}}, "spec": pod}}})
	beside(job) == {"KD-KND-001"}
}

test_images if {
	in_container("/image", "ghcr.io/bank/fraud:1") == {"KD-IMG-001"}
	in_container("/image", null) == {"KD-IMG-001", "KD-IMG-002"}
	with_image("localhost:5000/x:1") == set()
	every image in ["localhost/x", "bank/x", "x", "ghcr.io/bank2/x", "ghcr.io/bank", "ftp://ghcr.io/bank/x"] {
		with_image(image) == {"KD-IMG-002"}
	}
}

test_availability if {
	put("/Scaler/spec/minReplicas", 1) == {"KD-REP-001"}
	cut("/Scaler") == {"KD-REP-001", "KD-HPA-001"}
	fixed := [{"op": "remove", "path": "/Scaler"}, {"op": "add", "path": "/Deployment/spec/replicas", "value": 2}]
	fired(listed(fixed)) == {"KD-HPA-001"}
	put("/Scaler/spec/metrics", []) == {"KD-HPA-001"}
	cut("/Budget") == {"KD-PDB-001"}
	put("/Budget/spec/selector/matchLabels/x", "y") == {"KD-PDB-001"}
	cut("/Deployment/spec/template/metadata") == {"KD-PDB-001", "KD-NET-001"}
	rollout := thing("v1", "Other", {"kind": "Rollout", "spec": {"workloadRef": {"kind": "Deployment", "name": "fraud"}}})
	scaled := json.patch(objects, [{"op": "replace", "path": "/Scaler/spec/scaleTargetRef/kind", "value": "Rollout"}])
	fired(array.concat([thing | some thing in scaled], [rollout])) == {"KD-KND-001"}
}

test_inference_service if {
	metadata_of_pods := object.union(metadata, {"labels": object.union(metadata.labels, {"app": "fraud"})})
	predictor := object.union(pod, {"minReplicas": 2, "maxReplicas": 3, "scaleMetric": "cpu"})
	service := {"apiVersion": "v1", "kind": "InferenceService", "metadata": metadata_of_pods, "spec": {"predictor": predictor}}
	fired([service, objects.Budget, objects.Policy]) == {"KD-KND-001"}
}

test_network if {
	cut("/Policy") == {"KD-NET-001"}
	put("/Policy/spec/policyTypes", ["Ingress"]) == {"KD-NET-001"}
	put("/Policy/spec/podSelector", {}) == set()
	put("/Policy/spec/ingress/0/from", []) == {"KD-NET-002"}
	put("/Policy/spec/ingress/0/from/0", {"ipBlock": {"cidr": "0.0.0.0/0"}}) == {"KD-NET-002"}
	put("/Policy/spec/ingress/0/from/0", {"namespaceSelector": {}}) == {"KD-NET-002"}
	put("/Policy/spec/egress/0", {}) == {"KD-NET-002"}
	put("/Ingress/spec/tls", []) == {"KD-ING-001"}
	put("/Ingress/spec/defaultBackend", {}) == {"KD-ING-001"}
	cut("/Ingress/spec/rules") == {"KD-ING-001"}
	every ways in ["none", "", "keys,none", "keys,", null] {
		put("/ConfigMap/data/MLIFECYCLE_SERVING_AUTHENTICATION", ways) == {"KD-ING-002"}
	}
	cut("/ConfigMap/data/MLIFECYCLE_SERVING_AUTHENTICATION") == {"KD-ING-002"}
	in_container("/envFrom", []) == {"KD-ING-002"}
	in_container("/envFrom/0/configMapRef/name", "other") == {"KD-ING-002"}
	put("/Service/spec/type", "NodePort") == {"KD-SVC-001"}
}

test_demands_are_switched_off_by_false_alone if {
	things := [objects.Deployment]
	off := {"required": false}
	relaxed := object.union(settings, {"replicas": {"minimum": 0}, "disruption_budget": off, "autoscaler": off, "network_policy": off})
	one := json.patch(things, [{"op": "add", "path": "/0/spec/replicas", "value": 1}])
	decision_on(one, relaxed) == {"allow": true, "violations": []}
	broken := object.union(relaxed, {"autoscaler": {"required": null}})
	{v.id | some v in decision_on(one, broken).violations} == {"KD-HPA-001"}
}
