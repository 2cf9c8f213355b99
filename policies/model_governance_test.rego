# Run with: opa test policies --ignore '*.yaml' --ignore '*.yml' --coverage
# The settings are this file's own, so that changing a threshold in data/ breaks no test.
package mlifecycle.governance_test

import data.mlifecycle.governance

settings := {
	"metrics": {"accuracy": {"minimum": 0.85}, "f1_score": {"minimum": 0.8}, "training_samples": {"minimum": 100}},
	"fairness": {"demographic_parity": {"below": 0.1}, "equalized_odds": {"below": 0.1}},
	"drift": {"warn_from": 0.1, "deny_from": 0.3},
	"regression": {"largest_drop": 0.02},
	"previous_version": {"required": false},
	"model": {
		"frameworks": ["pytorch"],
		"experiment_id": "^[a-z0-9-]+$",
		"files_beside_manifest": true,
		"schemes": ["https", "s3"],
		"digest_required": false,
		"transforms": true,
	},
	"dependencies": {"allowed": {"torch": [], "scikit-learn": [], "pandas": ["parquet"]}},
	"data_sources": {"approved": ["s3://bank/curated/"], "floating_versions": ["latest"]},
	"explainability": {"methods": ["shap"]},
	"resources": {"largest": {"cpu": "4", "memory": "8Gi"}},
	"monitoring": {"alerts_on": ["error_rate"]},
}

valid := {"spec": {
	"model": {"version": "1.2.0", "uri": "model.pt2", "framework": "pytorch", "experiment_id": "fraud-1"},
	"signature": {"inputs": [{"name": "amount"}]},
	"metrics": {"accuracy": 0.95, "f1_score": 0.9, "training_date": "2026-11-01", "training_samples": 5000},
	"fairness": {
		"demographic_parity": 0.01,
		"equalized_odds": -0.01,
		"protected_attributes": ["age"],
		"evaluation_date": "2026-11-02",
	},
	"drift": {"score": 0.05, "last_evaluated": "2026-11-02"},
	"dependencies": ["torch>=2", "scikit_learn~=1.5", "pandas[parquet]>=2"],
	"data_sources": [{"source": "s3://bank/curated/x", "version": "2026-10"}],
	"inference": {"resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}},
	"monitoring": {
		"enabled": true,
		"drift_detection": {"enabled": true, "threshold": 0.2},
		"alerts": [{"metric": "error_rate"}],
	},
	"explainability": {"method": "shap", "feature_importance": {"amount": 0.4}},
}}

serving := {"version": "1.1.0", "metrics": {"accuracy": 0.96, "f1_score": 0.91}}

decision_on(manifest, served, changes) := result if {
	environments := {"bank": json.patch(settings, changes)}
	result := governance.decision with input as {"environment": "bank", "manifest": manifest, "catalog": {"serving": served}}
		with data.mlifecycle.environments as environments
}

# The ids of the rules that fire on the valid manifest with one field replaced, or with it removed.
fired(path, value) := {v.id | some v in decision_on(replaced(path, value), null, []).violations}

removed(path) := {v.id | some v in decision_on(json.remove(valid, [path]), null, []).violations}

replaced(path, value) := json.patch(valid, [{"op": "add", "path": path, "value": value}])

# What is found with a setting replaced.
with_setting(path, value) := {v.id |
	some v in decision_on(valid, serving, [{"op": "replace", "path": path, "value": value}]).violations
}

test_valid_is_allowed if decision_on(valid, null, []) == {"allow": true, "violations": []}

test_valid_is_allowed_after_another_version if decision_on(valid, serving, []).allow

test_nothing_is_denied_by_every_rule if {
	every manifest in [{}, null, "x", {"spec": []}] {
		ids := {v.id | some v in decision_on(manifest, serving, []).violations}
		count(ids) == 29 # all but those on the environment, the digest and the previous version
	}
}

test_unknown_environment if {
	result := governance.decision with input as {"environment": "mars", "manifest": valid, "catalog": {"serving": null}}
		with data.mlifecycle.environments as {"bank": settings}
	not result.allow
	some violation in result.violations
	violation.id == "MG-ENV-001"
}

test_no_input_at_all if {
	result := governance.decision with input as {} with data.mlifecycle.environments as {}
	not result.allow
}

test_metrics if {
	fired("/spec/metrics/accuracy", 0.8499) == {"MG-ACC-001"}
	fired("/spec/metrics/accuracy", 1.01) == {"MG-ACC-001"}
	fired("/spec/metrics/f1_score", 0.7999) == {"MG-F1-001"}
	fired("/spec/metrics/training_samples", 99) == {"MG-SMP-001"}
	fired("/spec/metrics/training_samples", 100.5) == {"MG-SMP-001"}
	removed("/spec/metrics/training_date") == {"MG-FAIR-004", "MG-DRF-003"}
}

test_fairness if {
	fired("/spec/fairness/demographic_parity", -0.1) == {"MG-FAIR-002"}
	fired("/spec/fairness/equalized_odds", 0.1) == {"MG-FAIR-003"}
	fired("/spec/fairness/evaluation_date", "2026-10-31") == {"MG-FAIR-004"}
	fired("/spec/fairness/protected_attributes", ["age", ""]) == {"MG-FAIR-001"}
	removed("/spec/fairness") == {"MG-FAIR-001", "MG-FAIR-002", "MG-FAIR-003", "MG-FAIR-004"}
}

test_drift if {
	result := decision_on(replaced("/spec/drift/score", 0.1), null, [])
	result.allow
	{v.id | some v in result.violations} == {"MG-DRF-002"}
	fired("/spec/drift/score", 0.3) == {"MG-DRF-001", "MG-DRF-002"}
	fired("/spec/drift/last_evaluated", "2026-10-31") == {"MG-DRF-003"}
}

test_explainability if {
	fired("/spec/explainability/method", "guess") == {"MG-XAI-001"}
	fired("/spec/explainability/feature_importance", {"age": 0.1}) == {"MG-XAI-002"}
	fired("/spec/explainability/feature_importance", {"amount": "much"}) == {"MG-XAI-002"}
}

test_regression if {
	worse := replaced("/spec/metrics/accuracy", 0.9399)
	{v.id | some v in decision_on(worse, serving, []).violations} == {"MG-REG-001"}
	unknown := {"version": "1.1.0", "metrics": {"accuracy": 0.9}}
	{v.id | some v in decision_on(valid, unknown, []).violations} == {"MG-REG-002"}
	decision_on(replaced("/spec/metrics/accuracy", 0.94), serving, []).allow
}

test_previous_version if {
	fired("/spec/previous_version", "1.1.0") == {"MG-PRV-001"}
	decision_on(replaced("/spec/previous_version", "1.1.0"), serving, []).allow
	not decision_on(replaced("/spec/previous_version", "1.0.0"), serving, []).allow
	decision_on(replaced("/spec/model/version", "1.1.0"), serving, []).allow
	with_setting("/previous_version/required", true) == {"MG-PRV-001"}
	result := governance.decision with input as {"environment": "bank", "manifest": valid}
		with data.mlifecycle.environments as {"bank": settings}
	{v.id | some v in result.violations} == {"MG-PRV-001", "MG-REG-001", "MG-REG-002"}
}

test_model if {
	fired("/spec/model/version", "1.2") == {"MG-VER-001"}
	fired("/spec/model/framework", "pickle") == {"MG-FRM-001"}
	fired("/spec/model/experiment_id", "No 1") == {"MG-TRK-001"}
	with_setting("/model/experiment_id", "[a-z]") == {"MG-TRK-001"}
	fired("/spec/model/digest", "sha256:1") == {"MG-DIG-001"}
	stated := concat("", ["sha256:", sprintf("%064d", [7])])
	fired("/spec/model/digest", stated) == set()
	with_setting("/model/digest_required", true) == {"MG-DIG-001"}
}

test_transform if {
	fired("/spec/model/transform", "a/transform.py") == set()
	every path in ["../t.py", "/t.py", "https://h/t.py", "", 7, true] {
		fired("/spec/model/transform", path) == {"MG-TRF-001"}
	}
	with_setting("/model/transforms", false) == set()
	result := decision_on(replaced("/spec/model/transform", "t.py"), null, [{"op": "replace", "path": "/model/transforms", "value": false}])
	{v.id | some v in result.violations} == {"MG-TRF-001"}
	without := decision_on(replaced("/spec/model/transform", "t.py"), null, [{"op": "remove", "path": "/model/transforms"}])
	{v.id | some v in without.violations} == {"MG-TRF-001"}
}

test_model_places if {
	every uri in ["a/m.pt2", "https://h/m", "https://h:8443/m", "s3://b/k"] {
		fired("/spec/model/uri", uri) == set()
	}
	every uri in ["../m", "/m", "a/%2e%2e/m", "a\\m", "http://h/m", "https://h", "s3://b/../k", "https://u:p@h/m", 7] {
		fired("/spec/model/uri", uri) == {"MG-URI-001"}
	}
}

test_data_sources if {
	fired("/spec/data_sources/0/source", "s3://bank/curated-not/x") == {"MG-SRC-001"}
	fired("/spec/data_sources/0/source", "s3://bank/curated/../x") == {"MG-SRC-001"}
	fired("/spec/data_sources/0/version", "Latest") == {"MG-SRC-002"}
	fired("/spec/data_sources", []) == {"MG-SRC-001", "MG-SRC-002"}
	with_setting("/data_sources/approved", ["s3://bank/curated/x"]) == set()
}

test_dependencies if {
	fired("/spec/dependencies", ["pandas[]>=2", "torch>=2; python_version > '3'"]) == set()
	fired("/spec/dependencies", ["evil>=1"]) == {"MG-DEP-001"}
	fired("/spec/dependencies", ["pandas[evil]>=1"]) == {"MG-DEP-001"}
	fired("/spec/dependencies", ["torch"]) == {"MG-DEP-002"}
	fired("/spec/dependencies", ["torch!=2"]) == {"MG-DEP-002"}
	fired("/spec/dependencies", ["torch @ https://h/t.whl"]) == {"MG-DEP-003"}
	fired("/spec/dependencies", [7]) == {"MG-DEP-001", "MG-DEP-002", "MG-DEP-003"}
	removed("/spec/dependencies") == {"MG-DEP-001", "MG-DEP-002", "MG-DEP-003"}
}

test_resources if {
	fired("/spec/inference/resources/requests/cpu", "1001m") == {"MG-RES-001"}
	fired("/spec/inference/resources/limits/cpu", "4.001") == {"MG-RES-001"}
	fired("/spec/inference/resources/requests/memory", "1025Mi") == {"MG-RES-002"}
	fired("/spec/inference/resources/requests/memory", "1073741824") == set()
	removed("/spec/inference/resources/limits") == {"MG-RES-001", "MG-RES-002"}
}

test_monitoring if {
	fired("/spec/monitoring/enabled", false) == {"MG-MON-001"}
	fired("/spec/monitoring/drift_detection/threshold", 0) == {"MG-MON-002"}
	fired("/spec/monitoring/alerts", [{"metric": "drift"}]) == {"MG-MON-003"}
}

# A message is never undefined, whatever the policy data says: an undefined one would not deny.
test_broken_settings_deny if {
	with_setting("/explainability/methods", {"shap": true}) == {"MG-XAI-001"}
	with_setting("/metrics/accuracy/minimum", true) == {"MG-ACC-001"}
	with_setting("/metrics/accuracy/minimum", null) == {"MG-ACC-001"}
	with_setting("/regression/largest_drop", "x") == {"MG-REG-001", "MG-REG-002"}
}
