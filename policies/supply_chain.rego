# METADATA
# title: Supply chain
# description: >-
#   Whether what was built may be deployed, by its lock, what the scanners found and what is
#   installed. A stage asks about its own part, named by `subject`. A part that is missing or of the
#   wrong shape denies.
package mlifecycle.supply_chain

import data.mlifecycle.lib

decision := {
	"allow": count([v | some v in violations; v.level == "deny"]) == 0,
	"violations": [v | some key in sort({[w.id, w.path] | some w in violations}); some v in violations; [v.id, v.path] == key],
}

default settings := {}

settings := data.mlifecycle.environments[input.environment]

setting(path) := lib.at(settings, concat(".", ["supply_chain", path]))

part(path) := lib.at(input, path)

stated(level, id, path, actual, expected) := {
	"id": id,
	"level": level,
	"path": path,
	"actual": actual,
	"expected": expected,
}

# METADATA
# title: The question is known
# description: A decision is asked for a lock, a lint, a scan or an inventory, in a known environment.
# custom:
#   id: SC-SUB-001
#   severity: deny
#   remedy: Choose an environment that has a file in policies/data; the subject is the pipeline's own.
violations contains stated("deny", "SC-SUB-001", "subject", part("subject"), "lock, lint, scan or inventory, in an environment with policy data") if {
	not askable
}

askable if {
	part("subject") in ["lock", "lint", "scan", "inventory"]
	count(lib.entries(settings)) > 0
}

# METADATA
# title: Dependencies are locked
# description: >-
#   Without a committed lock, what is installed is whatever was newest on the day. Where a lock is
#   not required, the pipeline must still know whether there was one.
# custom:
#   id: SC-LCK-001
#   severity: deny
#   remedy: Run mlifecycle lock and commit the lock file beside the manifest.
violations contains stated("deny", "SC-LCK-001", "locked", part("locked"), "true, a lock committed beside the manifest") if {
	part("subject") == "lock"
	not lock_good
}

lock_good if part("locked") == true

lock_good if {
	part("locked") == false
	setting("lock_required") == false
}

# METADATA
# title: Required scanners have run
# description: >-
#   A scanner that could not run, or that looked at nothing, has found nothing out. An image needs
#   more scanners than a folder. A lint, before anything is built, needs one that ran, and misses no
#   scanner of what is not built yet.
# custom:
#   id: SC-SCN-001
#   severity: deny
#   remedy: See the reason (mlifecycle doctor names what is missing), mend it and scan again.
violations contains stated("deny", "SC-SCN-001", "scan.tools", null, "the environment's list of required scanners") if {
	scanning
	not is_array(setting("scanners"))
}

violations contains stated("deny", "SC-SCN-001", "scan.tools", null, "the environment's list of scanners required for an image") if {
	scanning
	lib.said(image)
	not is_array(setting("image_scanners"))
}

violations contains stated("deny", "SC-SCN-001", "scan.image", part("scan.image"), "the image's digest; where the release is a folder, null by name") if {
	scanning
	not image_known
}

violations contains stated("deny", "SC-SCN-001", path, outcome_of(name), "a run that looked at something") if {
	scanning
	some name in required
	missed(name)
	path := concat(".", ["scan.tools", lib.text(name)])
}

violations contains stated("deny", "SC-SCN-001", "scan.tools", null, "at least one scanner that ran and looked at something") if {
	part("subject") == "lint"
	not anything_ran
}

scanning if part("subject") in ["lint", "scan"]

# Its digest; null where there is none, which has to be said: what is absent is not null here.
image := object.get(lib.entries(part("scan")), "image", false)

image_known if image == null

image_known if lib.said(image)

required contains name if some name in lib.items(setting("scanners"))

required contains name if {
	lib.said(image)
	some name in lib.items(setting("image_scanners"))
}

missed(name) if {
	part("subject") == "scan"
	not ran(name)
}

# In a lint, what has no report reads what is not built yet.
missed(name) if {
	part("subject") == "lint"
	count(reports_of(name)) > 0
	not ran(name)
}

anything_ran if {
	some report in lib.items(part("scan.tools"))
	name := lib.at(report, "tool")
	is_string(name)
	ran(name)
}

reports_of(name) := [report | some report in lib.items(part("scan.tools")); lib.at(report, "tool") == name]

# All of its runs: a scanner may be called more than once.
ran(name) if {
	reports := reports_of(name)
	count(reports) > 0
	count([report | some report in reports; not audited(report)]) == 0
}

audited(report) if {
	lib.at(report, "status") == "ran"
	is_number(lib.at(report, "audited"))
	lib.at(report, "audited") > 0
}

# What a reader has to know: what the scanner says about itself; null when it says nothing.
outcome_of(name) := lib.text(outcomes) if {
	outcomes := [outcome(report) | some report in reports_of(name)]
	count(outcomes) > 0
} else := null

outcome(report) := concat(": ", [lib.text(lib.at(report, "status")), lib.text(lib.at(report, "reason"))])

# METADATA
# title: Other scanners have run
# description: A scanner that is not required here still ought to be looked after.
# custom:
#   id: SC-SCN-002
#   severity: warn
#   remedy: See the reason; mlifecycle doctor names what is missing.
violations contains stated("warn", "SC-SCN-002", path, outcome_of(name), "a run that looked at something") if {
	scanning
	some report in lib.items(part("scan.tools"))
	name := lib.at(report, "tool")
	is_string(name)
	not name in required
	not ran(name)
	path := concat(".", ["scan.tools", name])
}

# METADATA
# title: No finding is severe
# description: >-
#   Findings from the environment's severity on deny. A finding without a known severity counts as
#   high, one that cannot be read as critical.
# custom:
#   id: SC-FND-001
#   severity: deny
#   remedy: Mend the finding (see its fixed version), or have the risk team waive exactly this one.
violations contains stated("deny", "SC-FND-001", "scan.findings", part("scan.findings"), "a list of findings") if {
	scanning
	not is_array(part("scan.findings"))
}

violations contains stated("deny", "SC-FND-001", path, finding, expected) if {
	scanning
	some i, finding in lib.items(part("scan.findings"))
	blocks(finding)
	not waived(finding)
	path := place_of(i, finding)
	expected := concat("", ["no finding of severity ", lib.text(setting("block_from")), " or worse"])
}

# Where a reader has to look: file and line, or the package.
place_of(i, finding) := location(finding) if is_string(location(finding))

else := lib.at(finding, "package") if is_string(lib.at(finding, "package"))

else := sprintf("scan.findings[%d]", [i])

blocks(finding) if not harmless(finding)

harmless(finding) if ranks[lib.at(finding, "severity")] < ranks[setting("block_from")]

ranks := {"info": 0, "low": 1, "medium": 2, "unknown": 3, "high": 3, "critical": 4}

# METADATA
# title: A finding is waived
# description: Somebody answers for this exact finding until a date; it is shown, and lets through.
# custom:
#   id: SC-WVR-001
#   severity: warn
#   remedy: Mend the finding before the waiver ends.
violations contains stated("warn", "SC-WVR-001", path, finding, expected) if {
	scanning
	some i, finding in lib.items(part("scan.findings"))
	blocks(finding)
	waived(finding)
	path := place_of(i, finding)
	expected := concat("", ["no such finding; waived by ", concat("; ", waivers_of(finding))])
}

# Every tool that saw the finding must be waived: the scope is exact.
waived(finding) if {
	count(lib.items(lib.at(finding, "tools"))) > 0
	count([tool | some tool in finding.tools; not tool_waived(finding, tool)]) == 0
}

tool_waived(finding, tool) if {
	some waiver in lib.items(setting("waivers"))
	in_force(waiver)
	covers(waiver, finding, tool)
}

waivers_of(finding) := sort({words |
	some tool in finding.tools
	some waiver in lib.items(setting("waivers"))
	in_force(waiver)
	covers(waiver, finding, tool)
	words := concat("", [waiver.owner, " until ", waiver.expires, " (", waiver.reason, ")"])
})

covers(waiver, finding, tool) if {
	waiver.tool == tool
	lib.said(lib.at(finding, "rule"))
	waiver.rule == finding.rule
	place(finding) != {"location": null, "package": null}
	place(finding) == {"location": lib.at(waiver, "location"), "package": lib.at(waiver, "package")}
}

place(finding) := {"location": location(finding), "package": lib.at(finding, "package")}

location(finding) := concat(":", [finding.location.file, sprintf("%d", [floor(finding.location.line)])]) if {
	is_string(lib.at(finding, "location.file"))
	lib.whole(lib.at(finding, "location.line"))
}

else := lib.at(finding, "location.file")

in_force(waiver) if {
	lib.said(lib.at(waiver, "owner"))
	lib.said(lib.at(waiver, "reason"))
	lib.said(lib.at(waiver, "tool"))
	lib.said(lib.at(waiver, "rule"))
	lib.not_before(waiver.expires, part("today"))
}

# METADATA
# title: Waivers are complete and in force
# description: A waiver needs owner, reason, date of expiry, tool, rule and place; otherwise it is void.
# custom:
#   id: SC-WVR-002
#   severity: warn
#   remedy: Complete or renew the waiver in the policy data, or delete it.
violations contains stated("warn", "SC-WVR-002", path, waiver, expected) if {
	scanning
	some i, waiver in lib.items(setting("waivers"))
	not usable(waiver)
	path := sprintf("waivers[%d]", [i])
	expected := concat("", ["owner, reason, tool, rule, location or package, and an expires (YYYY-MM-DD) from ", lib.text(part("today")), " on"])
}

usable(waiver) if {
	in_force(waiver)
	[lib.at(waiver, "location"), lib.at(waiver, "package")] != [null, null]
}

# METADATA
# title: Declared, locked, installed and listed are the same
# description: A package that is installed and not listed, or listed and not locked, came in unseen.
# custom:
#   id: SC-INV-001
#   severity: deny
#   remedy: Lock and build again; if the difference stays, something changes the environment behind the build.
violations contains stated("deny", "SC-INV-001", "inventory.differences", part("inventory.differences"), "a list of differences, empty") if {
	part("subject") == "inventory"
	not is_array(part("inventory.differences"))
}

violations contains stated("deny", "SC-INV-001", path, difference, "the same package and version declared, locked, installed and in the SBOM") if {
	part("subject") == "inventory"
	some i, difference in lib.items(part("inventory.differences"))
	path := sprintf("inventory.differences[%d]", [i])
}

# METADATA
# title: The inventory is not empty
# description: An inventory that lists nothing has looked at nothing.
# custom:
#   id: SC-INV-002
#   severity: deny
#   remedy: Build again and look at the SBOM tool's log.
violations contains stated("deny", "SC-INV-002", "inventory.packages", part("inventory.packages"), "a number of packages above 0") if {
	part("subject") == "inventory"
	not listed
}

listed if {
	lib.whole(part("inventory.packages"))
	part("inventory.packages") > 0
}
