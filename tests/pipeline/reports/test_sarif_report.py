from __future__ import annotations

import json
from typing import Any

from pipeline.record import Outcome, RunRecord
from pipeline.reports import sarif


def runs(record: RunRecord) -> dict[str, Any]:
    document = json.loads(sarif.render(record))
    assert document["version"] == "2.1.0"
    return {run["tool"]["driver"]["name"]: run for run in document["runs"]}


def test_a_run_a_tool_and_one_for_the_verdict(record: RunRecord) -> None:
    assert list(runs(record)) == ["bandit", "safety", "pip-audit", "mlifecycle"]


def test_what_the_standard_requires_of_every_result(record: RunRecord) -> None:
    for run in runs(record).values():
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        assert len(rules) == len(set(rules))
        for rule in run["tool"]["driver"]["rules"]:
            assert rule["shortDescription"]["text"]
        for result in run["results"]:
            assert rules[result["ruleIndex"]] == result["ruleId"]
            assert result["level"] in {"none", "note", "warning", "error"}
            assert result["message"]["text"]
            (location,) = result["locations"]
            assert location["physicalLocation"]["artifactLocation"]["uri"]
        assert isinstance(run["invocations"][0]["executionSuccessful"], bool)
        assert run["automationDetails"]["id"].endswith("/")


def test_a_file_of_the_submission_is_named_from_where_it_lies(record: RunRecord) -> None:
    result = runs(record)["bandit"]["results"][0]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "examples/valid/src/my%20train.py"
    assert place["region"] == {"startLine": 14}
    assert result["level"] == "warning"


def test_a_vulnerable_package_is_placed_at_the_manifest(record: RunRecord) -> None:
    (result,) = runs(record)["safety"]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "examples/valid/model%20manifest.yaml"
    assert result["message"]["text"] == "jinja2 2.4.1: ReDoS; fixed in 2.11.3"
    assert result["level"] == "error", "no severity ranks as high"


def test_a_scanner_that_did_not_run_did_not_succeed(record: RunRecord) -> None:
    (invocation,) = runs(record)["pip-audit"]["invocations"]
    assert invocation["executionSuccessful"] is False
    (note,) = invocation["toolExecutionNotifications"]
    assert note["message"]["text"] == "not run: no network (as of 12:00 UTC)"


def test_violations_are_results_of_the_pipeline(record: RunRecord) -> None:
    run = runs(record)["mlifecycle"]
    levels = {result["ruleId"]: result["level"] for result in run["results"]}
    assert levels == {"SC-VUL-001": "error", "SC-WARN-001": "warning"}
    assert run["tool"]["driver"]["rules"][0]["help"]["text"] == "Upgrade jinja2 to 2.11.3."


def test_a_failed_run_says_so(record: RunRecord) -> None:
    failed = record.model_copy(update={"outcome": Outcome.FAILED, "error": "uv is missing"})
    (invocation,) = runs(failed)["mlifecycle"]["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == "uv is missing"


def test_hostile_text_stays_text(hostile: RunRecord) -> None:
    assert len(runs(hostile)["bandit"]["results"]) == 1
