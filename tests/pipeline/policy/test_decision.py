"""From a policy's answer to a verdict: only a plain yes is a yes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from judging import BUNDLE

from pipeline.policy import judge
from pipeline.policy.bundle import GOVERNANCE, Bundle
from pipeline.policy.interface import PolicyFailed
from pipeline.verdict import Level, Verdict

DENIAL = {
    "id": "MG-ACC-001",
    "level": "deny",
    "path": "spec.metrics.accuracy",
    "actual": 0.5,
    "expected": "more",
}
WARNING = DENIAL | {"level": "warn", "id": "MG-DRF-002"}


class Answers:
    """An engine that answers from a table, by query."""

    name = "table"

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers

    async def evaluate(self, bundle: Bundle, query: str, document: Mapping[str, Any]) -> Any:
        if query not in self.answers:
            raise PolicyFailed(f"{query} is undefined")
        return self.answers[query]


def verdict(decision: Any, extensions: Mapping[str, Any] | None = None) -> Verdict:
    names = tuple(extensions or ())
    bundle = Bundle(BUNDLE.modules, {}, BUNDLE.rules, {GOVERNANCE: names}, BUNDLE.digest)
    answers = {f"data.{GOVERNANCE}.decision": decision}
    for name, answer in (extensions or {}).items():
        if answer is not None:
            answers[f"data.{name}.violations"] = answer
    return anyio.run(judge, Answers(answers), bundle, GOVERNANCE, {})


def test_a_yes_without_violations_is_a_yes() -> None:
    said = verdict({"allow": True, "violations": []})
    assert said == Verdict(allowed=True, policy_digest=BUNDLE.digest, engine="table")


def test_a_warning_does_not_deny() -> None:
    said = verdict({"allow": True, "violations": [WARNING]})
    assert said.allowed
    assert said.violations[0].level is Level.WARN


def test_a_violation_gets_its_title_and_remedy_from_the_rule() -> None:
    (violation,) = verdict({"allow": False, "violations": [DENIAL]}).violations
    rule = BUNDLE.rules["MG-ACC-001"]
    assert (violation.title, violation.remedy) == (rule.title, rule.remedy)
    assert (violation.path, violation.actual) == ("spec.metrics.accuracy", 0.5)


def test_a_rule_without_annotation_still_has_words() -> None:
    (violation,) = verdict({"allow": False, "violations": [DENIAL | {"id": "BANK-1"}]}).violations
    assert violation.title == "BANK-1"
    assert violation.remedy


def test_denials_come_first_and_in_order() -> None:
    later = DENIAL | {"id": "MG-F1-001"}
    said = verdict({"allow": False, "violations": [WARNING, later, DENIAL]})
    assert [v.id for v in said.violations] == ["MG-ACC-001", "MG-F1-001", "MG-DRF-002"]


def test_a_yes_that_denies_is_a_no() -> None:
    said = verdict({"allow": True, "violations": [DENIAL]})
    assert not said.allowed
    assert [v.id for v in said.violations] == ["MG-ACC-001"]


@pytest.mark.parametrize("violations", [[], [WARNING]])
def test_a_no_without_a_reason_is_named(violations: list[Any]) -> None:
    said = verdict({"allow": False, "violations": violations})
    assert not said.allowed
    assert said.violations[0].id == "MG-ENG-001"


@pytest.mark.parametrize(
    "decision",
    [
        None,
        True,
        "yes",
        [],
        {},
        {"allow": True},
        {"violations": []},
        {"allow": "true", "violations": []},
        {"allow": 1, "violations": []},
        {"allow": None, "violations": []},
        {"allow": True, "violations": {}},
        {"allow": True, "violations": None},
        {"allow": True, "violations": [], "more": 1},
        {"allow": True, "violations": ["MG-ACC-001"]},
        {"allow": True, "violations": [DENIAL | {"level": "info"}]},
        {"allow": True, "violations": [DENIAL | {"id": None}]},
        {"allow": True, "violations": [DENIAL | {"more": 1}]},
        {"allow": True, "violations": [{"id": "x"}]},
    ],
)
def test_what_is_no_decision_denies(decision: Any) -> None:
    said = verdict(decision)
    assert not said.allowed
    assert [v.id for v in said.violations] == ["MG-ENG-001"]
    assert "mlifecycle.governance.decision" in str(said.violations[0].actual)


def test_no_decision_at_all_denies() -> None:
    said = anyio.run(judge, Answers({}), BUNDLE, GOVERNANCE, {})
    assert not said.allowed
    assert [v.id for v in said.violations] == ["MG-ENG-001"]


def test_what_an_extension_denies_is_denied() -> None:
    names = {"mlifecycle.extensions.governance.names": [DENIAL | {"id": "BANK-1"}]}
    said = verdict({"allow": True, "violations": []}, names)
    assert not said.allowed
    assert [v.id for v in said.violations] == ["BANK-1"]
    warned = {"mlifecycle.extensions.governance.names": [WARNING]}
    assert verdict({"allow": True, "violations": []}, warned).allowed


@pytest.mark.parametrize("answer", [None, True, {}, "x", [1], [{"id": "x"}]])
def test_an_extension_without_violations_to_read_denies(answer: Any) -> None:
    said = verdict(
        {"allow": True, "violations": []}, {"mlifecycle.extensions.governance.x": answer}
    )
    assert not said.allowed
    assert [v.id for v in said.violations] == ["MG-ENG-001"]
    assert "mlifecycle.extensions.governance.x" in str(said.violations[0].actual)


def test_a_broken_extension_does_not_hide_what_else_denies() -> None:
    extensions = {"mlifecycle.extensions.governance.x": None}
    said = verdict({"allow": False, "violations": [DENIAL]}, extensions)
    assert [v.id for v in said.violations] == ["MG-ACC-001", "MG-ENG-001"]


def test_what_json_cannot_write_becomes_text() -> None:
    actual = {"a": [float("inf"), float("-inf"), 1.5]}
    (violation,) = verdict({"allow": False, "violations": [DENIAL | {"actual": actual}]}).violations
    assert violation.actual == {"a": ["inf", "-inf", 1.5]}
