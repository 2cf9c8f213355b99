# Run with: opa test policies --ignore '*.yaml' --ignore '*.yml' --coverage
package mlifecycle.supply_chain_test

import data.mlifecycle.supply_chain

waiver := {
	"owner": "jane",
	"reason": "not reachable",
	"expires": "2026-12-31",
	"tool": "bandit",
	"rule": "B104",
	"location": "app.py:12",
}

settings := {
	"lock_required": true,
	"scanners": ["bandit"],
	"image_scanners": ["dockle"],
	"block_from": "high",
	"waivers": [waiver],
}

finding := {"tools": ["bandit"], "rule": "B104", "severity": "high", "location": {"file": "app.py", "line": 12}, "package": null}

ran := {"tool": "bandit", "status": "ran", "reason": "", "audited": 3}

asked(document) := asked_with(document, settings)

asked_with(document, supply_chain_settings) := {v.id | some v in answer.violations} if {
	answer := supply_chain.decision with input as object.union({"environment": "bank", "today": "2026-11-30"}, document)
		with data.mlifecycle.environments as {"bank": {"supply_chain": supply_chain_settings}}
}

scan_of(tools, findings) := {"image": null, "tools": tools, "findings": findings}

scanned(tools, findings) := asked({"subject": "scan", "scan": scan_of(tools, findings)})

linted(tools, findings) := asked({"subject": "lint", "scan": scan_of(tools, findings)})

imaged(image, tools) := asked({"subject": "scan", "scan": {"image": image, "tools": tools, "findings": []}})

changed(path, value) := scanned([ran], [json.patch(finding, [{"op": "replace", "path": path, "value": value}])])

waived_by(waivers) := asked_with(
	{"subject": "scan", "scan": scan_of([ran], [finding])},
	object.union(settings, {"waivers": waivers}),
)

without(key) := object.remove(waiver, [key])

test_subject if {
	asked({}) == {"SC-SUB-001"}
	asked({"subject": "luck"}) == {"SC-SUB-001"}
	asked({"subject": "lock", "locked": true, "environment": "mars"}) == {"SC-SUB-001"}
	answer := supply_chain.decision with input as {} with data.mlifecycle.environments as {}
	not answer.allow
}

test_lock if {
	asked({"subject": "lock", "locked": true}) == set()
	asked({"subject": "lock", "locked": false}) == {"SC-LCK-001"}
	asked({"subject": "lock"}) == {"SC-LCK-001"}
	relaxed := object.union(settings, {"lock_required": false})
	asked_with({"subject": "lock", "locked": false}, relaxed) == set()
	asked_with({"subject": "lock"}, relaxed) == {"SC-LCK-001"}
}

test_scanners if {
	scanned([ran], []) == set()
	scanned([], []) == {"SC-SCN-001"}
	scanned([object.union(ran, {"audited": 0})], []) == {"SC-SCN-001"}
	scanned([object.union(ran, {"status": "not run"})], []) == {"SC-SCN-001"}
	scanned([ran, object.union(ran, {"status": "not run"})], []) == {"SC-SCN-001"}
	scanned([ran, {"tool": "other", "status": "not run"}], []) == {"SC-SCN-002"}
	asked({"subject": "scan"}) == {"SC-SCN-001", "SC-FND-001"}
	open := object.remove(settings, ["scanners"])
	asked_with({"subject": "scan", "scan": scan_of([ran], [])}, open) == {"SC-SCN-001"}
}

test_an_image_needs_its_scanners if {
	dockle := object.union(ran, {"tool": "dockle"})
	imaged("sha256:1", [ran, dockle]) == set()
	imaged("sha256:1", [ran]) == {"SC-SCN-001"}
	imaged("sha256:1", [ran, object.union(dockle, {"status": "not run"})]) == {"SC-SCN-001"}
	imaged(null, [ran]) == set()
	every value in ["", " ", 7, true, [], {}] {
		imaged(value, [ran, dockle]) == {"SC-SCN-001"}
	}
	asked({"subject": "scan", "scan": {"tools": [ran, dockle], "findings": []}}) == {"SC-SCN-001"}
	document := {"subject": "scan", "scan": {"image": "sha256:1", "tools": [ran, dockle], "findings": []}}
	asked_with(document, object.remove(settings, ["image_scanners"])) == {"SC-SCN-001"}
	asked_with(document, object.union(settings, {"image_scanners": "dockle"})) == {"SC-SCN-001"}
}

test_lint if {
	other := object.union(ran, {"tool": "other"})
	linted([ran], []) == set()
	linted([other], []) == set()
	linted([], []) == {"SC-SCN-001"}
	linted([object.union(ran, {"tool": 7})], []) == {"SC-SCN-001"}
	linted([other, object.union(ran, {"status": "not run"})], []) == {"SC-SCN-001"}
	linted([ran, object.union(other, {"status": "not run"})], []) == {"SC-SCN-002"}
	linted([ran], [finding]) == {"SC-WVR-001"}
	linted([ran], [object.union(finding, {"rule": "B105"})]) == {"SC-FND-001"}
	asked({"subject": "lint"}) == {"SC-SCN-001", "SC-FND-001"}
}

test_findings if {
	changed("/severity", "medium") == set()
	changed("/severity", "unknown") == {"SC-WVR-001"}
	changed("/rule", "B105") == {"SC-FND-001"}
	changed("/location/line", 13) == {"SC-FND-001"}
	changed("/location", null) == {"SC-FND-001"}
	changed("/package", "torch") == {"SC-FND-001"}
	changed("/tools", ["bandit", "semgrep"]) == {"SC-FND-001"}
	changed("/tools", []) == {"SC-FND-001"}
	changed("/severity", "dreadful") == {"SC-WVR-001"}
	scanned([ran], [7]) == {"SC-FND-001"}
	unset := object.remove(settings, ["block_from"])
	harmless := object.union(finding, {"severity": "info", "rule": "B1"})
	asked_with({"subject": "scan", "scan": scan_of([ran], [harmless])}, unset) == {"SC-FND-001"}
}

test_waivers if {
	waived_by([waiver]) == {"SC-WVR-001"}
	waived_by([object.union(waiver, {"expires": "2026-11-29"})]) == {"SC-FND-001", "SC-WVR-002"}
	every key in ["owner", "reason", "expires", "tool", "rule", "location"] {
		waived_by([without(key)]) == {"SC-FND-001", "SC-WVR-002"}
	}
}

test_waiver_for_a_package if {
	vulnerable := {"tools": ["pip-audit"], "rule": "PYSEC-1", "severity": "critical", "location": null, "package": "pillow"}
	for_package := object.union(without("location"), {"tool": "pip-audit", "rule": "PYSEC-1", "package": "pillow"})
	document := {"subject": "scan", "scan": scan_of([ran], [vulnerable])}
	asked_with(document, object.union(settings, {"waivers": [for_package]})) == {"SC-WVR-001"}
	asked_with(document, settings) == {"SC-FND-001"}
}

test_no_waiver_without_a_date_of_today if {
	answer := supply_chain.decision with input as {"environment": "bank", "subject": "scan", "scan": scan_of([ran], [finding])}
		with data.mlifecycle.environments as {"bank": {"supply_chain": settings}}
	not answer.allow
}

test_inventory if {
	asked({"subject": "inventory", "inventory": {"differences": [], "packages": 9}}) == set()
	asked({"subject": "inventory", "inventory": {"differences": [{"package": "x"}], "packages": 9}}) == {"SC-INV-001"}
	asked({"subject": "inventory", "inventory": {"differences": [], "packages": 0}}) == {"SC-INV-002"}
	asked({"subject": "inventory"}) == {"SC-INV-001", "SC-INV-002"}
}
