# The rules on where a model comes from: its version, file, framework, data and dependencies.
package mlifecycle.governance

import data.mlifecycle.lib

# METADATA
# title: The version is a semantic version
# description: Versions that can be compared and never mean two things make a history readable.
# custom:
#   id: MG-VER-001
#   severity: deny
#   remedy: Write MAJOR.MINOR.PATCH, such as 1.2.0.
violations contains violation("deny", "MG-VER-001", "spec.model.version", "a semantic version such as 1.2.0 (semver.org)") if {
	not semantic(field("spec.model.version"))
}

# The grammar of semver.org, where a number has no leading zeros.
semantic(version) if {
	is_string(version)
	regex.match(
		`^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`,
		version,
	)
}

# METADATA
# title: The claimed previous version is the one that serves
# description: >-
#   Authors who believe that they replace another version than the one in service have compared
#   with the wrong one. The catalog decides; the manifest only claims.
# custom:
#   id: MG-PRV-001
#   severity: deny
#   remedy: Look up what serves (mlifecycle status), compare with that version, and name it.
violations contains violation("deny", "MG-PRV-001", "spec.previous_version", expected) if {
	not previous_version_agrees
	expected := previous_version_expected
}

previous_version_agrees if {
	nothing_serves
	field("spec.previous_version") == null
}

# The same version once more: nobody's predecessor.
previous_version_agrees if {
	is_string(serving_version)
	field("spec.model.version") == serving_version
}

previous_version_agrees if {
	is_string(serving_version)
	field("spec.previous_version") == serving_version
}

previous_version_agrees if {
	is_string(serving_version)
	field("spec.previous_version") == null
	setting("previous_version.required") == false
}

serving_version := lib.at(input, "catalog.serving.version")

previous_version_expected := "no previous_version, as nothing serves here" if nothing_serves

else := concat("", [serving_version, ", which serves by the catalog's word"]) if is_string(serving_version)

else := "the catalog's word on what serves, which is missing"

# METADATA
# title: The framework is allowed
# description: Only frameworks that the server can load safely and that are looked after.
# custom:
#   id: MG-FRM-001
#   severity: deny
#   remedy: Export the model with an allowed framework, or have yours added to the policy data.
violations contains violation("deny", "MG-FRM-001", "spec.model.framework", expected) if {
	not field("spec.model.framework") in lib.items(setting("model.frameworks"))
	expected := concat("", ["one of: ", lib.text(setting("model.frameworks"))])
}

# METADATA
# title: A model brings code only where that is allowed
# description: >-
#   What a transform does to inputs and answers is code that nobody has checked as the server was
#   checked: it is scanned, and it can still do what it wants.
# custom:
#   id: MG-TRF-001
#   severity: deny
#   remedy: Put the steps into the model itself, or have model.transforms set in the policy data.
violations contains violation("deny", "MG-TRF-001", "spec.model.transform", expected) if {
	not transform_allowed
	expected := concat("", [
		"none, or a file inside the manifest's folder where transforms are allowed (here: ",
		lib.text(setting("model.transforms")),
		")",
	])
}

transform_allowed if {
	is_object(field("spec.model"))
	field("spec.model.transform") == null
}

transform_allowed if {
	lib.plain_path(field("spec.model.transform"))
	not contains(field("spec.model.transform"), ":")
	setting("model.transforms") == true
}

# METADATA
# title: The experiment is named
# description: From the experiment one finds code, parameters and data of the training again.
# custom:
#   id: MG-TRK-001
#   severity: deny
#   remedy: State the experiment that the model came out of under model.experiment_id.
violations contains violation("deny", "MG-TRK-001", "spec.model.experiment_id", expected) if {
	not experiment_named
	expected := concat("", ["an experiment's name that matches ", lib.text(setting("model.experiment_id"))])
}

# By a pattern for the whole name.
experiment_named if {
	is_string(field("spec.model.experiment_id"))
	is_string(setting("model.experiment_id"))
	startswith(setting("model.experiment_id"), "^")
	endswith(setting("model.experiment_id"), "$")
	regex.match(setting("model.experiment_id"), field("spec.model.experiment_id"))
}

# METADATA
# title: The model comes from an allowed place
# description: >-
#   An object store or https address of an allowed scheme, or a file inside the manifest's folder:
#   no absolute path, nothing encoded, nothing that climbs out.
# custom:
#   id: MG-URI-001
#   severity: deny
#   remedy: Put the model beside the manifest or into an object store, and write its plain path.
violations contains violation("deny", "MG-URI-001", "spec.model.uri", expected) if {
	not place_allowed(field("spec.model.uri"))
	expected := concat("", [
		"a file inside the manifest's folder (allowed here: ",
		lib.text(setting("model.files_beside_manifest")),
		"), or an address with one of: ",
		lib.text(setting("model.schemes")),
	])
}

place_allowed(uri) if {
	lib.plain_path(uri)
	not contains(uri, ":")
	setting("model.files_beside_manifest") == true
}

# The address has a host or bucket, and something in it.
place_allowed(uri) if {
	lib.plain_path(uri)
	parts := split(uri, "://")
	count(parts) == 2
	parts[0] in lib.items(setting("model.schemes"))
	contains(parts[1], "/")
}

# METADATA
# title: The model's digest is stated
# description: Where it is required, the authors name the exact file that they evaluated.
# custom:
#   id: MG-DIG-001
#   severity: deny
#   remedy: Run sha256sum on the model file and write the result as sha256:… under model.digest.
violations contains violation("deny", "MG-DIG-001", "spec.model.digest", "sha256: and 64 lower-case hexadecimal digits") if {
	not digest_stated
}

digest_stated if {
	is_string(field("spec.model.digest"))
	regex.match(`^sha256:[0-9a-f]{64}$`, field("spec.model.digest"))
}

digest_stated if {
	field("spec.model.digest") == null
	setting("model.digest_required") == false
}

# METADATA
# title: Data sources are approved
# description: >-
#   Training and evaluation data come from sources that somebody answers for. A source is approved
#   by the policy data, as it stands or below an approved path; never by the manifest.
# custom:
#   id: MG-SRC-001
#   severity: deny
#   remedy: Use an approved source, or have yours approved in the policy data.
violations contains violation("deny", "MG-SRC-001", "spec.data_sources", "a list of at least one approved source") if {
	count(lib.items(field("spec.data_sources"))) == 0
}

violations contains violation_of("deny", "MG-SRC-001", path, actual, expected) if {
	some i, source in lib.items(field("spec.data_sources"))
	actual := lib.at(source, "source")
	not approved(actual)
	path := sprintf("spec.data_sources[%d].source", [i])
	expected := concat("", ["one of these, or a path below it: ", lib.text(setting("data_sources.approved"))])
}

approved(source) if {
	lib.plain_path(source)
	some root in lib.items(setting("data_sources.approved"))
	is_string(root)
	lib.within(source, root)
}

# METADATA
# title: Data sources name a fixed state
# description: Data that changes under its name cannot be trained on or evaluated again.
# custom:
#   id: MG-SRC-002
#   severity: deny
#   remedy: Name the snapshot, partition or release of the data, such as 2026-11.
violations contains violation("deny", "MG-SRC-002", "spec.data_sources", "a list of at least one source with its version") if {
	count(lib.items(field("spec.data_sources"))) == 0
}

violations contains violation_of("deny", "MG-SRC-002", path, actual, expected) if {
	some i, source in lib.items(field("spec.data_sources"))
	actual := lib.at(source, "version")
	not fixed(actual)
	path := sprintf("spec.data_sources[%d].version", [i])
	expected := concat("", ["the name of a fixed state, and none of: ", lib.text(setting("data_sources.floating_versions"))])
}

fixed(version) if {
	lib.said(version)
	is_array(setting("data_sources.floating_versions"))

	# A number names a state; a word alone, in whatever letters, follows the data about.
	regex.match(`^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$`, version)
	regex.match(`[0-9]`, version)
	not lower(version) in setting("data_sources.floating_versions")
}

# METADATA
# title: Dependencies are allowed
# description: >-
#   Each dependency is on the allowlist by its canonical name (PEP 503), and so are its extras.
# custom:
#   id: MG-DEP-001
#   severity: deny
#   remedy: Remove the dependency or extra, or have it added to the policy data.
violations contains violation("deny", "MG-DEP-001", "spec.dependencies", "a list of requirements") if {
	not is_array(field("spec.dependencies"))
}

violations contains violation_of("deny", "MG-DEP-001", path, dependency, "a package and extras that the policy data allows") if {
	some i, dependency in lib.items(field("spec.dependencies"))
	not allowed(dependency)
	path := sprintf("spec.dependencies[%d]", [i])
}

allowed(dependency) if {
	is_string(dependency)
	parts := regex.find_all_string_submatch_n(`^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?) *(\[([A-Za-z0-9._, -]*)\])?`, dependency, 1)
	extras := setting("dependencies.allowed")[canonical(parts[0][1])]
	is_array(extras)
	count([extra | some extra in split(parts[0][4], ","); not extra_allowed(extra, extras)]) == 0
}

extra_allowed(extra, extras) if canonical(trim(extra, " ")) in extras

extra_allowed(extra, _) if trim(extra, " ") == ""

canonical(name) := lower(regex.replace(name, `[-_.]+`, "-"))

# METADATA
# title: Dependencies have a version constraint
# description: A dependency without a bound means whatever is newest on the day.
# custom:
#   id: MG-DEP-002
#   severity: deny
#   remedy: Write the versions that the model works with, such as torch>=2.6.
violations contains violation("deny", "MG-DEP-002", "spec.dependencies", "a list of requirements") if {
	not is_array(field("spec.dependencies"))
}

violations contains violation_of("deny", "MG-DEP-002", path, dependency, "a requirement with a version bound (==, ~=, >=, >, <=, <)") if {
	some i, dependency in lib.items(field("spec.dependencies"))
	not direct(dependency)
	not bounded(dependency)
	path := sprintf("spec.dependencies[%d]", [i])
}

bounded(dependency) if {
	is_string(dependency)
	regex.match(
		`^[A-Za-z0-9][A-Za-z0-9._-]* *(\[[A-Za-z0-9._, -]*\])? *\(? *(===?|~=|!=|<=|>=|<|>) *[0-9][0-9A-Za-z.*+!_-]* *(, *(===?|~=|!=|<=|>=|<|>) *[0-9][0-9A-Za-z.*+!_-]* *)*\)? *(;[^@]+)?$`,
		dependency,
	)
	requirement := split(dependency, ";")[0]
	regex.match(`(==|~=|<|>)`, requirement)
}

# METADATA
# title: Dependencies come from the package index
# description: A direct reference (name @ address) goes round the index, its mirror and its scanners.
# custom:
#   id: MG-DEP-003
#   severity: deny
#   remedy: Publish the package on the index and name it with a version.
violations contains violation("deny", "MG-DEP-003", "spec.dependencies", "a list of requirements") if {
	not is_array(field("spec.dependencies"))
}

violations contains violation_of("deny", "MG-DEP-003", path, dependency, "a name with a version, no address") if {
	some i, dependency in lib.items(field("spec.dependencies"))
	not by_name(dependency)
	path := sprintf("spec.dependencies[%d]", [i])
}

by_name(dependency) if {
	is_string(dependency)
	not contains(dependency, "@")
}

direct(dependency) if {
	is_string(dependency)
	contains(dependency, "@")
}
