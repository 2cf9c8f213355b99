# The rules on pods and their containers, wherever a pod spec is found.
package mlifecycle.deployment

import data.mlifecycle.lib

lists := ["containers", "initContainers", "ephemeralContainers"]

# Every pod spec: an object that has a list of containers, at any depth of any object. `steps` lead
# to it.
pods contains {"object": thing, "steps": steps, "path": where(thing, dotted(steps)), "spec": spec} if {
	some thing in objects
	walk(thing, [steps, spec])
	is_object(spec)
	count([list | some list in lists; list in object.keys(spec)]) > 0
}

dotted(steps) := concat(".", [lib.word(step) | some step in steps])

containers contains {"pod": pod, "list": list, "path": path, "container": container} if {
	some pod in pods
	some list in lists
	some i, container in lib.items(lib.at(pod.spec, list))
	path := indexed(below(pod, list), i)
}

# What ends by itself is not asked whether it is ready, and is not spread.
lasting(pod) if not lib.at(pod.object, "kind") in ["Job", "CronJob"]

below(found, path) := concat(".", [found.path, path])

security(found, path) := lib.at(found.container, concat(".", ["securityContext", path]))

# What holds for a container: its own word, or else the pod's.
effective(found, path) := security(found, path) if security(found, path) != null

else := lib.at(found.pod.spec, concat(".", ["securityContext", path]))

# METADATA
# title: A pod has containers
# description: Lists of containers are lists of objects. What is none of them cannot be judged.
# custom:
#   id: KD-POD-001
#   severity: deny
#   remedy: Correct the workload; containers, initContainers and ephemeralContainers are lists.
violations contains denied("KD-POD-001", below(pod, list), "no such list", "a list of containers, in `containers` at least one") if {
	some pod in pods
	some list in lists
	not listed(pod, list)
}

listed(pod, list) if {
	found := lib.items(lib.at(pod.spec, list))
	count(found) > 0
	count([container | some container in found; not is_object(container)]) == 0
}

listed(pod, list) if {
	list != "containers"
	lib.at(pod.spec, list) in [null, []]
}

# METADATA
# title: Nothing is privileged
# description: A privileged container owns its node.
# custom:
#   id: KD-PRV-001
#   severity: deny
#   remedy: Remove securityContext.privileged.
violations contains denied("KD-PRV-001", below(found, "securityContext.privileged"), security(found, "privileged"), "false, or nothing") if {
	some found in containers
	not security(found, "privileged") in [null, false]
}

# METADATA
# title: Nothing runs as root
# description: Root in a container is root of whatever the container can reach.
# custom:
#   id: KD-USR-001
#   severity: deny
#   remedy: Set securityContext.runAsNonRoot to true on the pod, and do not unset it on a container.
violations contains denied("KD-USR-001", below(found, "securityContext.runAsNonRoot"), effective(found, "runAsNonRoot"), "true, on the container or its pod") if {
	some found in containers
	not effective(found, "runAsNonRoot") == true
}

# METADATA
# title: The user is a number above 0
# description: A name is looked up in the image, which may say that it is root.
# custom:
#   id: KD-USR-002
#   severity: deny
#   remedy: Set securityContext.runAsUser and runAsGroup to numbers above 0.
violations contains denied("KD-USR-002", below(found, concat(".", ["securityContext", key])), effective(found, key), "a whole number above 0, on the container or its pod") if {
	some found in containers
	some key in ["runAsUser", "runAsGroup"]
	not ordinary(effective(found, key))
}

ordinary(id) if {
	lib.whole(id)
	id > 0
}

# METADATA
# title: No privilege is gained
# description: Without it, a program with the setuid bit makes its caller root.
# custom:
#   id: KD-ESC-001
#   severity: deny
#   remedy: Set securityContext.allowPrivilegeEscalation to false.
violations contains denied("KD-ESC-001", below(found, "securityContext.allowPrivilegeEscalation"), security(found, "allowPrivilegeEscalation"), "false") if {
	some found in containers
	not security(found, "allowPrivilegeEscalation") == false
}

# METADATA
# title: All capabilities are dropped
# description: A server of predictions needs none of root's powers.
# custom:
#   id: KD-CAP-001
#   severity: deny
#   remedy: Set securityContext.capabilities to drop [ALL], and add none.
violations contains denied("KD-CAP-001", below(found, "securityContext.capabilities"), security(found, "capabilities"), "drop: [ALL], and nothing added") if {
	some found in containers
	not bare(found)
}

bare(found) if {
	"ALL" in lib.items(security(found, "capabilities.drop"))
	security(found, "capabilities.add") in [null, []]
}

# METADATA
# title: System calls are filtered
# description: The runtime's own filter keeps the kernel's odd corners out of reach.
# custom:
#   id: KD-SEC-001
#   severity: deny
#   remedy: Set securityContext.seccompProfile.type to RuntimeDefault.
violations contains denied("KD-SEC-001", below(found, "securityContext.seccompProfile.type"), effective(found, "seccompProfile.type"), "RuntimeDefault or Localhost, on the container or its pod") if {
	some found in containers
	not effective(found, "seccompProfile.type") in ["RuntimeDefault", "Localhost"]
}

# METADATA
# title: The root file system is read-only
# description: What breaks in cannot leave anything behind, and the image stays the image.
# custom:
#   id: KD-FS-001
#   severity: deny
#   remedy: Set securityContext.readOnlyRootFilesystem to true, and mount an emptyDir where files are written.
violations contains denied("KD-FS-001", below(found, "securityContext.readOnlyRootFilesystem"), security(found, "readOnlyRootFilesystem"), "true") if {
	some found in containers
	not security(found, "readOnlyRootFilesystem") == true
}

# METADATA
# title: A pod shares nothing with its node
# description: In the node's network, processes or memory, a pod sees and reaches what others do.
# custom:
#   id: KD-HST-001
#   severity: deny
#   remedy: Remove hostNetwork, hostPID and hostIPC.
violations contains denied("KD-HST-001", below(pod, key), lib.at(pod.spec, key), "false, or nothing") if {
	some pod in pods
	some key in ["hostNetwork", "hostPID", "hostIPC"]
	not lib.at(pod.spec, key) in [null, false]
}

# METADATA
# title: No port of the node is taken
# description: A port of the node goes around Service and NetworkPolicy.
# custom:
#   id: KD-HST-002
#   severity: deny
#   remedy: Remove hostPort; a Service leads to the pod.
violations contains denied("KD-HST-002", path, lib.at(port, "hostPort"), "0, or nothing") if {
	some found in containers
	some i, port in lib.items(lib.at(found.container, "ports"))
	not lib.at(port, "hostPort") in [null, 0]
	path := concat("", [indexed(below(found, "ports"), i), ".hostPort"])
}

# METADATA
# title: Volumes are of harmless kinds
# description: A path of the node is the node; other kinds reach storage that nobody judged.
# custom:
#   id: KD-VOL-001
#   severity: deny
#   remedy: Use configMap, downwardAPI, emptyDir, ephemeral, persistentVolumeClaim, projected or secret.
violations contains denied("KD-VOL-001", path, kinds, "one of configMap, downwardAPI, emptyDir, ephemeral, persistentVolumeClaim, projected, secret") if {
	some pod in pods
	some i, volume in lib.items(lib.at(pod.spec, "volumes"))
	kinds := sort({key | some key in object.keys(lib.entries(volume)); key != "name"})
	not harmless_volume(kinds)
	path := indexed(below(pod, "volumes"), i)
}

violations contains denied("KD-VOL-001", below(pod, "volumes"), "no list", "a list of volumes, or nothing") if {
	some pod in pods
	not lib.at(pod.spec, "volumes") == null
	not is_array(lib.at(pod.spec, "volumes"))
}

harmless_volume(kinds) if {
	count(kinds) == 1
	some kind in kinds
	kind in ["configMap", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"]
}

# METADATA
# title: A pod has no token of the cluster
# description: A server that asks the cluster nothing needs no key to it.
# custom:
#   id: KD-TOK-001
#   severity: deny
#   remedy: Set automountServiceAccountToken to false in the pod spec.
violations contains denied("KD-TOK-001", below(pod, "automountServiceAccountToken"), lib.at(pod.spec, "automountServiceAccountToken"), "false") if {
	some pod in pods
	not lib.at(pod.spec, "automountServiceAccountToken") == false
}

# METADATA
# title: CPU and memory are requested and limited
# description: >-
#   Without requests a pod is the first to go, without limits it takes what its neighbours need.
#   Ephemeral containers, which cannot have any, are exempt.
# custom:
#   id: KD-RES-001
#   severity: deny
#   remedy: Set requests and limits of cpu and memory, in the manifest under inference.resources.
violations contains denied("KD-RES-001", path, lib.at(found.container, "resources"), "requests and limits, as text, with 0 < request <= limit") if {
	some found in containers
	found.list != "ephemeralContainers"
	some resource in ["cpu", "memory"]
	not provided(found, resource)
	path := below(found, concat(".", ["resources", resource]))
}

provided(found, resource) if {
	request := lib.amount(resource, lib.at(found.container, concat(".", ["resources.requests", resource])))
	limit := lib.amount(resource, lib.at(found.container, concat(".", ["resources.limits", resource])))
	request > 0
	request <= limit
}

# METADATA
# title: Containers are probed
# description: >-
#   Without a readiness probe requests go to a server that cannot answer yet, without a liveness probe
#   to one that no longer can, and without a startup probe a slow start is taken for a failure.
# custom:
#   id: KD-PRB-001
#   severity: deny
#   remedy: Add startupProbe, livenessProbe and readinessProbe.
violations contains denied("KD-PRB-001", below(found, probe), lib.at(found.container, probe), "a probe by httpGet, grpc, tcpSocket or exec") if {
	some found in containers
	found.list == "containers"
	lasting(found.pod)
	some probe in ["startupProbe", "livenessProbe", "readinessProbe"]
	not probing(lib.at(found.container, probe))
}

probing(probe) if {
	some handler in ["httpGet", "grpc", "tcpSocket", "exec"]
	count(lib.entries(lib.at(probe, handler))) > 0
}

# METADATA
# title: An image is named by its digest
# description: A tag may be another image by the time that a pod starts.
# custom:
#   id: KD-IMG-001
#   severity: deny
#   remedy: Name the image as REPOSITORY@sha256:DIGEST.
violations contains denied("KD-IMG-001", below(found, "image"), lib.at(found.container, "image"), "an image that ends in @sha256: and 64 hexadecimal digits") if {
	some found in containers
	not pinned(lib.at(found.container, "image"))
}

pinned(image) if {
	is_string(image)
	regex.match(`^[A-Za-z0-9_./:-]+@sha256:[0-9a-f]{64}$`, image)
}

# METADATA
# title: An image comes from an approved registry
# description: >-
#   Compared by whole host, with its port, and by whole parts of the path: ghcr.io/acme does not
#   approve ghcr.io/acme-evil, nor ghcr.io.evil.example. An image without a host is Docker Hub's.
# custom:
#   id: KD-IMG-002
#   severity: deny
#   remedy: Publish the image to an approved registry (--registry), or approve it in deployment.registries.
violations contains denied("KD-IMG-002", below(found, "image"), lib.at(found.container, "image"), expected) if {
	some found in containers
	not approved(lib.at(found.container, "image"))
	expected := concat("", ["an image below one of: ", lib.text(setting("registries"))])
}

approved(image) if {
	is_string(image)
	lib.plain_path(split(image, "@")[0])
	not contains(image, "://")
	some registry in lib.items(setting("registries"))
	lib.said(registry)
	some name in repositories(image)
	name != registry
	lib.within(name, registry)
}

# The repository with its host, and once more with any port where the host is this machine.
repositories(image) := {full, any_port(full)} if full := full_name(repository(image))

# Without digest and tag. A colon after the last slash is a tag's, one before it a port's.
repository(image) := concat("/", array.concat(array.slice(parts, 0, count(parts) - 1), [split(parts[count(parts) - 1], ":")[0]])) if {
	parts := split(split(image, "@")[0], "/")
}

full_name(name) := name if is_host(split(name, "/")[0], name)

else := concat("/", ["docker.io", name])

is_host(first, name) if {
	first != name
	some sign in [".", ":"]
	contains(first, sign)
}

is_host(first, name) if {
	first != name
	first == "localhost"
}

any_port(name) := concat("", [parts[0], ":*/", substring(name, count(host) + 1, -1)]) if {
	host := split(name, "/")[0]
	parts := split(host, ":")
	parts[0] in ["localhost", "127.0.0.1"]
	count(parts) == 2
}

else := name
