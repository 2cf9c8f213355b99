# METADATA
# title: Kubernetes objects
# description: >-
#   Whether rendered objects may go to a cluster. All of them are judged, and every pod spec in them,
#   in whatever kind it is found. The rules stand on their own: what is absent, null or of the wrong
#   type is no better than what is wrong. This file has the decision and the rules on objects as
#   such; its neighbours of the same package have those on pods, on availability and on the network.
package mlifecycle.deployment

import data.mlifecycle.lib

decision := {
	"allow": count([v | some v in violations; v.level == "deny"]) == 0,
	"violations": [v | some key in sort({[w.id, w.path] | some w in violations}); some v in violations; [v.id, v.path] == key],
}

default settings := {}

settings := data.mlifecycle.environments[input.environment]

setting(path) := lib.at(settings, concat(".", ["deployment", path]))

denied(id, path, actual, expected) := {
	"id": id,
	"level": "deny",
	"path": path,
	"actual": actual,
	"expected": expected,
}

objects := lib.items(lib.at(input, "objects"))

# Which object, as people call it.
named(object) := concat("/", [lib.word(lib.at(object, "kind")), lib.word(lib.at(object, "metadata.name"))])

where(object, path) := concat(" ", [named(object), path])

indexed(path, i) := concat("", [path, "[", sprintf("%d", [i]), "]"])

label(object, key) := entry(lib.at(object, "metadata.labels"), key)

entry(value, key) := object.get(lib.entries(value), [key], null)

# METADATA
# title: The environment is known
# description: Allowlists and demands belong to an environment; without them nothing can be judged.
# custom:
#   id: KD-ENV-001
#   severity: deny
#   remedy: Choose an environment whose file in policies/data has a section deployment.
violations contains denied("KD-ENV-001", "environment", lib.at(input, "environment"), "an environment with policy data on deployments") if {
	count(lib.entries(lib.at(settings, "deployment"))) == 0
}

# METADATA
# title: There are objects
# description: A render without objects, or without pods, deploys nothing.
# custom:
#   id: KD-OBJ-001
#   severity: deny
#   remedy: Look at what kustomize rendered; a deployment has at least one workload with containers.
violations contains denied("KD-OBJ-001", "objects", count(objects), "a list of objects with at least one pod spec") if {
	count(pods) == 0
}

# METADATA
# title: An object has a kind and a name
# description: What cannot be named can neither be judged nor taken back.
# custom:
#   id: KD-OBJ-002
#   severity: deny
#   remedy: Give the object apiVersion, kind and metadata.name.
violations contains denied("KD-OBJ-002", path, lib.at(thing, "kind"), "an object with apiVersion, kind and metadata.name") if {
	some i, thing in objects
	not identified(thing)
	path := indexed("objects", i)
}

identified(object) if {
	count([path | some path in ["apiVersion", "kind", "metadata.name"]; not lib.said(lib.at(object, path))]) == 0
}

# METADATA
# title: Only known kinds are deployed
# description: >-
#   A deploy brings workloads and what belongs to them. Rights, webhooks, volumes of nodes and lists
#   of other objects are not its business.
# custom:
#   id: KD-KND-001
#   severity: deny
#   remedy: Leave the object out, or allow its version and kind in deployment.kinds of the policy data.
violations contains denied("KD-KND-001", where(thing, "kind"), kind_of(thing), expected) if {
	some thing in objects
	not kind_of(thing) in lib.items(setting("kinds"))
	expected := concat("", ["one of: ", lib.text(setting("kinds"))])
}

kind_of(object) := concat(" ", [lib.word(lib.at(object, "apiVersion")), lib.word(lib.at(object, "kind"))])

# METADATA
# title: No object goes to a namespace of the cluster's own
# description: The default namespace belongs to nobody, and those of the system to the cluster.
# custom:
#   id: KD-NSP-001
#   severity: deny
#   remedy: Set metadata.namespace in the manifest to a namespace of your own.
violations contains denied("KD-NSP-001", where(thing, namespace_path(thing)), lib.at(thing, namespace_path(thing)), "a namespace that is not default and does not start with kube-") if {
	some thing in objects
	not own_namespace(lib.at(thing, namespace_path(thing)))
}

namespace_path(object) := "metadata.name" if lib.at(object, "kind") == "Namespace"

else := "metadata.namespace"

own_namespace(name) if {
	lib.said(name)
	name != "default"
	not startswith(name, "kube-")
}

# METADATA
# title: A namespace refuses pods that are not restricted
# description: The cluster itself then refuses what some other way would bring in.
# custom:
#   id: KD-NSP-002
#   severity: deny
#   remedy: Label the Namespace pod-security.kubernetes.io/enforce=restricted.
violations contains denied("KD-NSP-002", where(thing, "metadata.labels"), label(thing, "pod-security.kubernetes.io/enforce"), "pod-security.kubernetes.io/enforce: restricted") if {
	some thing in objects
	lib.at(thing, "kind") == "Namespace"
	label(thing, "pod-security.kubernetes.io/enforce") != "restricted"
}

# METADATA
# title: Objects bear the required labels
# description: Labels say whose an object is and who looks after it. A namespace, which is shared, is exempt.
# custom:
#   id: KD-LBL-001
#   severity: deny
#   remedy: Add the label under metadata.labels of the manifest; the pipeline sets those with a domain.
violations contains denied("KD-LBL-001", where(thing, "metadata.labels"), missing, expected) if {
	some thing in objects
	lib.at(thing, "kind") != "Namespace"
	missing := sort({key | some key in lib.items(setting("labels")); not lib.said(label(thing, key))})
	lacking_labels(missing)
	expected := concat("", ["the labels ", lib.text(setting("labels"))])
}

lacking_labels(missing) if count(missing) > 0

lacking_labels(_) if count(lib.items(setting("labels"))) == 0

# METADATA
# title: Objects belong to the environment
# description: What was rendered for another environment was judged by other demands.
# custom:
#   id: KD-LBL-002
#   severity: deny
#   remedy: Render for the environment that is deployed to.
violations contains denied("KD-LBL-002", where(thing, "metadata.labels"), label(thing, "mlifecycle.io/environment"), expected) if {
	some thing in objects
	lib.at(thing, "kind") != "Namespace"
	label(thing, "mlifecycle.io/environment") != lib.at(input, "environment")
	expected := concat("", ["mlifecycle.io/environment: ", lib.word(lib.at(input, "environment"))])
}

# METADATA
# title: No secret lies in the render
# description: A Secret among the objects is a password in plain text, in a file that is kept.
# custom:
#   id: KD-SCR-001
#   severity: deny
#   remedy: Keep it where secrets are kept, let an operator make the Secret, and refer to it by name.
violations contains denied("KD-SCR-001", where(thing, "kind"), "Secret", "no Secret; secrets are referred to by name") if {
	some thing in objects
	lib.at(thing, "kind") == "Secret"
}

# METADATA
# title: No setting is a secret
# description: >-
#   Settings are kept and shown. One that is called a password, a token or a key, or that holds a
#   private key, is one.
# custom:
#   id: KD-SCR-002
#   severity: deny
#   remedy: Take it from a Secret by valueFrom.secretKeyRef, or rename a setting that is none.
violations contains denied("KD-SCR-002", where(thing, path), "(not shown)", "settings without secrets") if {
	some thing in objects
	lib.at(thing, "kind") == "ConfigMap"
	some part in ["data", "binaryData"]
	some key, value in lib.entries(lib.at(thing, part))
	secret(key, value)
	path := concat(".", [part, key])
}

violations contains denied("KD-SCR-002", path, "(not shown)", "settings without secrets") if {
	some found in containers
	some i, variable in lib.items(lib.at(found.container, "env"))
	secret(lib.at(variable, "name"), lib.at(variable, "value"))
	path := indexed(concat(".", [found.path, "env"]), i)
}

secret(name, value) if {
	is_string(name)
	is_string(value)
	value != ""
	regex.match(`(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|(API|ACCESS|PRIVATE|SIGNING|ENCRYPTION)[_-]?KEY)`, upper(name))
}

secret(_, value) if {
	is_string(value)
	contains(value, "PRIVATE KEY-----")
}
