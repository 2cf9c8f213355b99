# The rules on how a model is run: what it may use, and how it is watched.
package mlifecycle.governance

import data.mlifecycle.lib

# METADATA
# title: CPU is requested and limited
# description: A server without limits takes what its neighbours need; one without requests starves.
# custom:
#   id: MG-RES-001
#   severity: deny
#   remedy: Set requests.cpu and limits.cpu, the request no larger than the limit.
violations contains violation("deny", "MG-RES-001", "spec.inference.resources", expected) if {
	not fits("cpu")
	expected := sized("cpu")
}

# METADATA
# title: Memory is requested and limited
# description: A server without limits takes what its neighbours need; one without requests starves.
# custom:
#   id: MG-RES-002
#   severity: deny
#   remedy: Set requests.memory and limits.memory, the request no larger than the limit.
violations contains violation("deny", "MG-RES-002", "spec.inference.resources", expected) if {
	not fits("memory")
	expected := sized("memory")
}

fits(resource) if {
	request := lib.amount(resource, field(concat(".", ["spec.inference.resources.requests", resource])))
	limit := lib.amount(resource, field(concat(".", ["spec.inference.resources.limits", resource])))
	most := lib.amount(resource, setting(concat(".", ["resources.largest", resource])))
	request > 0
	request <= limit
	limit <= most
}

sized(resource) := concat("", [
	"requests.",
	resource,
	" and limits.",
	resource,
	", with 0 < request <= limit <= ",
	lib.text(setting(concat(".", ["resources.largest", resource]))),
])

# METADATA
# title: Monitoring is enabled
# description: A model that nobody watches fails unseen.
# custom:
#   id: MG-MON-001
#   severity: deny
#   remedy: Set monitoring.enabled to true.
violations contains violation("deny", "MG-MON-001", "spec.monitoring.enabled", "true") if {
	not field("spec.monitoring.enabled") == true
}

# METADATA
# title: Drift detection is enabled
# description: Inputs move; the alarm must come before the model has lost its world.
# custom:
#   id: MG-MON-002
#   severity: deny
#   remedy: Enable monitoring.drift_detection with a threshold.
violations contains violation("deny", "MG-MON-002", "spec.monitoring.drift_detection", expected) if {
	not drift_watched
	expected := concat("", ["enabled: true, with a threshold above 0 and at most ", lib.text(setting("drift.deny_from"))])
}

drift_watched if {
	field("spec.monitoring.drift_detection.enabled") == true
	threshold := field("spec.monitoring.drift_detection.threshold")
	is_number(threshold)
	is_number(setting("drift.deny_from"))
	threshold > 0
	threshold <= setting("drift.deny_from")
}

# METADATA
# title: Somebody is alerted
# description: What is measured and tells nobody is not monitored.
# custom:
#   id: MG-MON-003
#   severity: deny
#   remedy: Add an alert for each required metric under monitoring.alerts.
violations contains violation("deny", "MG-MON-003", "spec.monitoring.alerts", expected) if {
	not alerts_set
	expected := concat("", ["an alert on each of: ", lib.text(setting("monitoring.alerts_on"))])
}

alerts_set if {
	is_array(field("spec.monitoring.alerts"))
	is_array(setting("monitoring.alerts_on"))
	alerted := {lib.at(alert, "metric") | some alert in field("spec.monitoring.alerts")}
	count([metric | some metric in setting("monitoring.alerts_on"); not metric in alerted]) == 0
}
