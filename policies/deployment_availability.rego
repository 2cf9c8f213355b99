# The rules on what keeps a workload available, and on who reaches it.
package mlifecycle.deployment

import data.mlifecycle.lib

# What a demand that is switched off looks like. Anything else, nothing included, demands.
demanded(name) if not setting(name) == false

workloads contains pod if {
	some pod in pods
	lasting(pod)
}

of_kind(kind) := [thing | some thing in objects; lib.at(thing, "kind") == kind]

together(one, other) if {
	lib.said(lib.at(one, "metadata.namespace"))
	lib.at(one, "metadata.namespace") == lib.at(other, "metadata.namespace")
}

# The labels that the pods of a workload get.
pod_labels(pod) := labels if {
	parent := array.slice(pod.steps, 0, count(pod.steps) - 1)
	labels := object.get(pod.object, array.concat(parent, ["metadata", "labels"]), null)
	is_object(labels)
}

# KServe hands its own labels on.
else := lib.entries(lib.at(pod.object, "metadata.labels")) if lib.at(pod.object, "kind") == "InferenceService"

else := {}

# Whether a selector chooses these pods. One by expressions is not understood, and so chooses none.
selects(selector, labels) if {
	is_object(selector)
	lib.at(selector, "matchExpressions") in [null, []]
	lib.at(selector, "matchLabels") != null
	wanted := lib.entries(lib.at(selector, "matchLabels"))
	count(wanted) > 0
	count([key | some key in object.keys(wanted); not entry(labels, key) == entry(wanted, key)]) == 0
}

# The autoscalers of a workload: by its name, or by that of a Rollout that takes its pods over.
scalers(pod) := [scaler |
	some scaler in of_kind("HorizontalPodAutoscaler")
	together(scaler, pod.object)
	[lib.at(scaler, "spec.scaleTargetRef.kind"), lib.at(scaler, "spec.scaleTargetRef.name")] in scaled_as(pod)
]

scaled_as(pod) := array.concat(
	[[lib.at(pod.object, "kind"), lib.at(pod.object, "metadata.name")]],
	[["Rollout", lib.at(rollout, "metadata.name")] |
		some rollout in of_kind("Rollout")
		together(rollout, pod.object)
		lib.at(rollout, "spec.workloadRef.kind") == lib.at(pod.object, "kind")
		lib.at(rollout, "spec.workloadRef.name") == lib.at(pod.object, "metadata.name")
	],
)

# METADATA
# title: There are enough replicas
# description: With one, every drained node and every crash is an outage.
# custom:
#   id: KD-REP-001
#   severity: deny
#   remedy: Raise inference.replicas, or autoscaling.min_replicas, in the manifest.
violations contains denied("KD-REP-001", where(pod.object, "spec.replicas"), least(pod), expected) if {
	some pod in workloads
	not enough_replicas(pod)
	expected := concat("", ["at least ", lib.text(setting("replicas.minimum"))])
}

enough_replicas(pod) if {
	lib.whole(least(pod))
	lib.whole(setting("replicas.minimum"))
	least(pod) >= setting("replicas.minimum")
}

# The autoscaler's word counts where there is one.
least(pod) := lib.at(scalers(pod)[0], "spec.minReplicas") if count(scalers(pod)) == 1

else := lib.at(pod.object, "spec.predictor.minReplicas") if lib.at(pod.object, "kind") == "InferenceService"

else := lib.at(pod.object, "spec.replicas")

# METADATA
# title: The load decides the number of replicas
# description: A fixed number is too many at night and too few at noon.
# custom:
#   id: KD-HPA-001
#   severity: deny
#   remedy: Enable inference.autoscaling in the manifest.
violations contains denied("KD-HPA-001", where(pod.object, "HorizontalPodAutoscaler"), count(scalers(pod)), "one autoscaler, with minReplicas up to maxReplicas and a metric") if {
	demanded("autoscaler.required")
	some pod in workloads
	not scaled(pod)
}

scaled(pod) if {
	count(scalers(pod)) == 1
	some scaler in scalers(pod)
	lib.whole(lib.at(scaler, "spec.minReplicas"))
	lib.whole(lib.at(scaler, "spec.maxReplicas"))
	scaler.spec.minReplicas > 0
	scaler.spec.minReplicas <= scaler.spec.maxReplicas
	count(lib.items(lib.at(scaler, "spec.metrics"))) > 0
}

# KServe has an autoscaler of its own.
scaled(pod) if {
	lib.at(pod.object, "kind") == "InferenceService"
	lib.whole(lib.at(pod.object, "spec.predictor.minReplicas"))
	lib.whole(lib.at(pod.object, "spec.predictor.maxReplicas"))
	pod.object.spec.predictor.minReplicas > 0
	pod.object.spec.predictor.minReplicas <= pod.object.spec.predictor.maxReplicas
	lib.said(lib.at(pod.object, "spec.predictor.scaleMetric"))
}

# METADATA
# title: Nodes are drained one replica at a time
# description: Without a budget, an upgrade of the cluster may take all replicas away at once.
# custom:
#   id: KD-PDB-001
#   severity: deny
#   remedy: Take the component availability into the overlay.
violations contains denied("KD-PDB-001", where(pod.object, "PodDisruptionBudget"), null, "a PodDisruptionBudget that selects its pods, with maxUnavailable or minAvailable") if {
	demanded("disruption_budget.required")
	some pod in workloads
	not budgeted(pod)
}

budgeted(pod) if {
	some budget in of_kind("PodDisruptionBudget")
	together(budget, pod.object)
	selects(lib.at(budget, "spec.selector"), pod_labels(pod))
	some key in ["maxUnavailable", "minAvailable"]
	lib.at(budget, concat(".", ["spec", key])) != null
}

# METADATA
# title: The network is closed but for what is named
# description: Without a policy, every pod of the cluster asks this one, and it asks whom it likes.
# custom:
#   id: KD-NET-001
#   severity: deny
#   remedy: Take the component network-policy into the overlay.
violations contains denied("KD-NET-001", where(pod.object, "NetworkPolicy"), null, "a NetworkPolicy for Ingress and Egress that selects its pods") if {
	demanded("network_policy.required")
	some pod in pods
	not enclosed(pod)
}

enclosed(pod) if {
	count([direction | some direction in ["Ingress", "Egress"]; not enclosed_in(pod, direction)]) == 0
}

enclosed_in(pod, direction) if {
	some rule in of_kind("NetworkPolicy")
	together(rule, pod.object)
	covers_pods(lib.at(rule, "spec.podSelector"), pod_labels(pod))
	direction in lib.items(lib.at(rule, "spec.policyTypes"))
}

# An empty selector is that of all pods.
covers_pods(selector, _) if selector == {}

covers_pods(selector, labels) if selects(selector, labels)

# METADATA
# title: No network policy is open to all
# description: A rule without peers, or with all addresses or all namespaces, lets everybody in.
# custom:
#   id: KD-NET-002
#   severity: deny
#   remedy: Name whom the rule is about, by namespace, pods or addresses.
violations contains denied("KD-NET-002", path, lib.at(rule, "from"), "`from` with namespaces, pods or addresses, and not all of them") if {
	some thing in of_kind("NetworkPolicy")
	some i, rule in lib.items(lib.at(thing, "spec.ingress"))
	not closed(lib.at(rule, "from"))
	path := where(thing, indexed("spec.ingress", i))
}

violations contains denied("KD-NET-002", path, rule, "`to` with whom it is about") if {
	some thing in of_kind("NetworkPolicy")
	some i, rule in lib.items(lib.at(thing, "spec.egress"))
	count(lib.items(lib.at(rule, "to"))) == 0
	path := where(thing, indexed("spec.egress", i))
}

closed(peers) if {
	count(lib.items(peers)) > 0
	count([peer | some peer in peers; not particular(peer)]) == 0
}

particular(peer) if {
	count(lib.entries(lib.at(peer, "ipBlock"))) > 0
	is_string(peer.ipBlock.cidr)
	not endswith(peer.ipBlock.cidr, "/0")
}

particular(peer) if {
	lib.at(peer, "ipBlock") == null
	lib.at(peer, "namespaceSelector") != {}
	some key in ["namespaceSelector", "podSelector"]
	is_object(lib.at(peer, key))
}

# METADATA
# title: The way in is encrypted
# description: What customers send to a model is nobody else's business.
# custom:
#   id: KD-ING-001
#   severity: deny
#   remedy: Set inference.ingress.tls_secret in the manifest to the Secret with the host's certificate.
violations contains denied("KD-ING-001", path, lib.at(rule, "host"), "a host that spec.tls names, with its secretName") if {
	demanded("ingress.tls_required")
	some thing in of_kind("Ingress")
	some i, rule in lib.items(lib.at(thing, "spec.rules"))
	not encrypted(thing, lib.at(rule, "host"))
	path := where(thing, concat("", [indexed("spec.rules", i), ".host"]))
}

violations contains denied("KD-ING-001", where(thing, "spec.rules"), null, "rules, each with a host, and no default backend") if {
	some thing in of_kind("Ingress")
	not ruled(thing)
}

ruled(thing) if {
	count(lib.items(lib.at(thing, "spec.rules"))) > 0
	count([rule | some rule in thing.spec.rules; not lib.said(lib.at(rule, "host"))]) == 0
	lib.at(thing, "spec.defaultBackend") == null
}

encrypted(thing, host) if {
	lib.said(host)
	some tls in lib.items(lib.at(thing, "spec.tls"))
	lib.said(lib.at(tls, "secretName"))
	host in lib.items(lib.at(tls, "hosts"))
}

# METADATA
# title: Behind the way in, pods ask who comes
# description: A model that everybody may ask can be copied, mapped out and worn down by anybody.
# custom:
#   id: KD-ING-002
#   severity: deny
#   remedy: Say in the manifest who may ask, by inference.access.keys_secret (the Secret with the hashes of API keys) or inference.access.tokens (an issuer).
violations contains denied("KD-ING-002", below(pod, "containers"), null, "settings with MLIFECYCLE_SERVING_AUTHENTICATION: keys or jwt") if {
	demanded("ingress.authentication_required")
	count(of_kind("Ingress")) > 0
	some pod in pods
	not asks_who_comes(pod)
}

asks_who_comes(pod) if {
	some container in lib.items(lib.at(pod.spec, "containers"))
	some source in lib.items(lib.at(container, "envFrom"))
	some settings in of_kind("ConfigMap")
	lib.said(lib.at(settings, "metadata.name"))
	lib.at(settings, "metadata.name") == lib.at(source, "configMapRef.name")
	said := lib.at(settings, "data.MLIFECYCLE_SERVING_AUTHENTICATION")
	lib.said(said)
	every way in split(said, ",") {
		trim_space(way) in ["keys", "jwt"]
	}
}

# METADATA
# title: A service stays inside the cluster
# description: NodePorts, load balancers and external addresses go around the ingress controller.
# custom:
#   id: KD-SVC-001
#   severity: deny
#   remedy: Let the Service be of type ClusterIP; inference.ingress of the manifest is the way in.
violations contains denied("KD-SVC-001", where(thing, "spec"), lib.at(thing, "spec.type"), "type ClusterIP, without externalIPs") if {
	some thing in of_kind("Service")
	not inside(thing)
}

inside(thing) if {
	is_object(lib.at(thing, "spec"))
	lib.at(thing, "spec.type") in [null, "ClusterIP"]
	lib.at(thing, "spec.externalIPs") in [null, []]
}
