# METADATA
# title: Model governance
# description: >-
#   Whether a model may be deployed, by what its manifest states and what the catalog knows. The
#   rules stand on their own: each denies when its field is absent, null or of the wrong type.
#   This file has the decision and the rules on what was measured; its two neighbours of the same
#   package have those on where the model comes from and on how it is run.
package mlifecycle.governance

import data.mlifecycle.lib

decision := {
	"allow": count([v | some v in violations; v.level == "deny"]) == 0,
	"violations": [v | some key in sort({[w.id, w.path] | some w in violations}); some v in violations; [v.id, v.path] == key],
}

default settings := {}

settings := data.mlifecycle.environments[input.environment]

default manifest := {}

manifest := input.manifest

field(path) := lib.at(manifest, path)

setting(path) := lib.at(settings, path)

violation(level, id, path, expected) := violation_of(level, id, path, field(path), expected)

violation_of(level, id, path, actual, expected) := {
	"id": id,
	"level": level,
	"path": path,
	"actual": actual,
	"expected": expected,
}

# METADATA
# title: The environment is known
# description: Thresholds and allowlists belong to an environment; without them nothing can be judged.
# custom:
#   id: MG-ENV-001
#   severity: deny
#   remedy: Choose an environment that has a file in policies/data, or write that file.
violations contains violation_of("deny", "MG-ENV-001", "environment", lib.at(input, "environment"), "an environment with policy data") if {
	count(lib.entries(settings)) == 0
}

# METADATA
# title: Accuracy reaches the threshold
# description: A model that is wrong too often must not decide anything.
# custom:
#   id: MG-ACC-001
#   severity: deny
#   remedy: Improve the model, measure it on held-out data and state the measured value.
violations contains violation("deny", "MG-ACC-001", "spec.metrics.accuracy", expected) if {
	not reaches("spec.metrics.accuracy", "metrics.accuracy.minimum")
	expected := from_to_one("metrics.accuracy.minimum")
}

# METADATA
# title: F1 score reaches the threshold
# description: Accuracy alone hides a model that never finds the rare class.
# custom:
#   id: MG-F1-001
#   severity: deny
#   remedy: Improve precision or recall, measure on held-out data and state the measured value.
violations contains violation("deny", "MG-F1-001", "spec.metrics.f1_score", expected) if {
	not reaches("spec.metrics.f1_score", "metrics.f1_score.minimum")
	expected := from_to_one("metrics.f1_score.minimum")
}

reaches(path, minimum) if {
	is_number(field(path))
	is_number(setting(minimum))
	field(path) >= setting(minimum)
	field(path) <= 1
}

from_to_one(minimum) := concat("", ["a number from ", lib.text(setting(minimum)), " to 1"])

# METADATA
# title: The training sample is large enough
# description: Metrics of a model that has seen few samples say little about the next one.
# custom:
#   id: MG-SMP-001
#   severity: deny
#   remedy: Train on more samples and state how many.
violations contains violation("deny", "MG-SMP-001", "spec.metrics.training_samples", expected) if {
	not enough_samples
	expected := concat("", ["a whole number of at least ", lib.text(setting("metrics.training_samples.minimum"))])
}

enough_samples if {
	lib.whole(field("spec.metrics.training_samples"))
	lib.whole(setting("metrics.training_samples.minimum"))
	field("spec.metrics.training_samples") >= setting("metrics.training_samples.minimum")
}

# METADATA
# title: Fairness was evaluated
# description: Somebody must have compared how the model treats groups of people, and say which.
# custom:
#   id: MG-FAIR-001
#   severity: deny
#   remedy: Evaluate fairness and list the compared attributes under protected_attributes.
violations contains violation("deny", "MG-FAIR-001", "spec.fairness.protected_attributes", "a list of at least one attribute") if {
	not attributes_named
}

attributes_named if {
	attributes := field("spec.fairness.protected_attributes")
	count(lib.items(attributes)) > 0
	count([attribute | some attribute in attributes; not lib.said(attribute)]) == 0
}

# METADATA
# title: Demographic parity difference is small
# description: Groups of people must get positive predictions at nearly the same rate.
# custom:
#   id: MG-FAIR-002
#   severity: deny
#   remedy: Reduce the difference between the groups (data, features or thresholds) and measure again.
violations contains violation("deny", "MG-FAIR-002", "spec.fairness.demographic_parity", expected) if {
	not small("spec.fairness.demographic_parity", "fairness.demographic_parity.below")
	expected := between("fairness.demographic_parity.below")
}

# METADATA
# title: Equalized odds difference is small
# description: The model must be wrong about each group of people at nearly the same rate.
# custom:
#   id: MG-FAIR-003
#   severity: deny
#   remedy: Reduce the difference between the groups' error rates and measure again.
violations contains violation("deny", "MG-FAIR-003", "spec.fairness.equalized_odds", expected) if {
	not small("spec.fairness.equalized_odds", "fairness.equalized_odds.below")
	expected := between("fairness.equalized_odds.below")
}

small(path, limit) if {
	difference := field(path)
	most := setting(limit)
	is_number(difference)
	is_number(most)
	difference < most
	difference > 0 - most
}

between(limit) := concat("", ["a number between -", lib.text(setting(limit)), " and ", lib.text(setting(limit)), ", both excluded"])

# METADATA
# title: Fairness was evaluated after the training
# description: An evaluation older than the model is an evaluation of another model.
# custom:
#   id: MG-FAIR-004
#   severity: deny
#   remedy: Evaluate this model and state both dates, metrics.training_date and fairness.evaluation_date.
violations contains violation("deny", "MG-FAIR-004", "spec.fairness.evaluation_date", after_training) if {
	not lib.not_before(field("spec.fairness.evaluation_date"), field("spec.metrics.training_date"))
}

after_training := concat("", ["a date (YYYY-MM-DD) not before metrics.training_date, ", training_date])

training_date := field("spec.metrics.training_date") if lib.date(field("spec.metrics.training_date"))

else := "which is no date"

# METADATA
# title: Drift is below the limit
# description: A model whose inputs have moved far from its training data no longer knows its world.
# custom:
#   id: MG-DRF-001
#   severity: deny
#   remedy: Train on recent data, measure the drift again and state it.
violations contains violation("deny", "MG-DRF-001", "spec.drift.score", expected) if {
	not drift_below("drift.deny_from")
	expected := concat("", ["a number from 0 to below ", lib.text(setting("drift.deny_from"))])
}

# METADATA
# title: Drift is small
# description: Inputs have begun to move away from the training data.
# custom:
#   id: MG-DRF-002
#   severity: warn
#   remedy: Plan a training on recent data, and watch the drift alert.
violations contains violation("warn", "MG-DRF-002", "spec.drift.score", expected) if {
	not drift_below("drift.warn_from")
	expected := concat("", ["a number from 0 to below ", lib.text(setting("drift.warn_from"))])
}

drift_below(limit) if {
	is_number(field("spec.drift.score"))
	is_number(setting(limit))
	field("spec.drift.score") >= 0
	field("spec.drift.score") < setting(limit)
}

# METADATA
# title: Drift was measured after the training
# description: A score older than the model compares something else.
# custom:
#   id: MG-DRF-003
#   severity: deny
#   remedy: Measure the drift for this model and state both dates, metrics.training_date and drift.last_evaluated.
violations contains violation("deny", "MG-DRF-003", "spec.drift.last_evaluated", after_training) if {
	not lib.not_before(field("spec.drift.last_evaluated"), field("spec.metrics.training_date"))
}

# METADATA
# title: Predictions can be explained
# description: Whoever is concerned by a decision may ask for its reasons; the method must be a known one.
# custom:
#   id: MG-XAI-001
#   severity: deny
#   remedy: State the method under explainability.method.
violations contains violation("deny", "MG-XAI-001", "spec.explainability.method", expected) if {
	not field("spec.explainability.method") in lib.items(setting("explainability.methods"))
	expected := concat("", ["one of: ", lib.text(setting("explainability.methods"))])
}

# METADATA
# title: Feature importance is given
# description: The importance of features, by the names of the signature, shows what the model rests on.
# custom:
#   id: MG-XAI-002
#   severity: deny
#   remedy: Measure the importance of the features and list it by the names that the signature gives them.
violations contains violation("deny", "MG-XAI-002", "spec.explainability.feature_importance", "a number for at least one feature of the signature, and for nothing else") if {
	not importance_given
}

importance_given if {
	importance := field("spec.explainability.feature_importance")
	count(lib.entries(importance)) > 0
	features := {lib.at(feature, "name") | some feature in lib.items(field("spec.signature.inputs"))}
	count([value | some value in importance; not is_number(value)]) == 0
	count([name | some name in object.keys(importance); not name in features]) == 0
}

# METADATA
# title: Accuracy has not fallen
# description: A new version must not be clearly worse than the one that serves by the catalog's word.
# custom:
#   id: MG-REG-001
#   severity: deny
#   remedy: Improve the new version, or stop the serving one first if it must not be compared with.
violations contains violation("deny", "MG-REG-001", "spec.metrics.accuracy", expected) if {
	not keeps_up("accuracy")
	expected := no_worse("accuracy")
}

# METADATA
# title: F1 score has not fallen
# description: A new version must not be clearly worse than the one that serves by the catalog's word.
# custom:
#   id: MG-REG-002
#   severity: deny
#   remedy: Improve the new version, or stop the serving one first if it must not be compared with.
violations contains violation("deny", "MG-REG-002", "spec.metrics.f1_score", expected) if {
	not keeps_up("f1_score")
	expected := no_worse("f1_score")
}

keeps_up(_) if nothing_serves

# In millionths: the difference of two decimals is not the decimal that a reader expects.
keeps_up(metric) if {
	before := served_metric(metric)
	now := field(concat(".", ["spec.metrics", metric]))
	is_number(before)
	most := setting("regression.largest_drop")
	is_number(now)
	is_number(most)
	round((before - now) * 1000000) <= round(most * 1000000)
}

# The catalog was read, and says so: without the key it could not be.
nothing_serves if input.catalog.serving == null

no_worse(metric) := concat("", [
	"at most ",
	lib.text(setting("regression.largest_drop")),
	" below the version in service, which has ",
	shown(served_metric(metric)),
])

served_metric(metric) := lib.at(input, concat(".", ["catalog.serving.metrics", metric]))

shown(value) := sprintf("%v", [value]) if is_number(value)

else := "no such number in the catalog"
