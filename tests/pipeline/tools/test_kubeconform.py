"""kubeconform: valid is what was judged, by a schema, and found valid. Nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.findings import Severity, ToolReport, ToolStatus
from pipeline.runtimes.interface import Outcome
from pipeline.tools import kubeconform

Judge = Callable[[str], ToolReport]


@pytest.fixture
def judge(outcome: Callable[[str, str], Outcome]) -> Judge:
    return lambda case: kubeconform.parse(outcome("kubeconform", case), "0.8.0")


def test_valid_objects_are_counted(judge: Judge) -> None:
    report = judge("valid")
    assert (report.status, report.audited, report.findings) == (ToolStatus.RAN, 2, ())


def test_every_invalid_object_is_a_finding_that_names_the_field(judge: Judge) -> None:
    report = judge("invalid")
    assert (report.status, report.audited) == (ToolStatus.RAN, 3)
    assert {finding.severity for finding in report.findings} == {Severity.HIGH}
    assert [finding.message for finding in report.findings] == [
        "ConfigMap settings: at '/data/A': got number, want null or string",
        "ServiceAccount model: at '/automountServiceAccountToken': got string, want null or "
        "boolean - at '': additional properties 'rights' not allowed",
    ]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("unknown-kind", "Model model: could not find schema for Model"),
        ("given-twice", 'key "metadata" already set in map'),
        ("broken", "objects.yaml: error unmarshalling resource"),
        ("missing", "objects.yaml: lstat objects.yaml: no such file"),
        ("skipped", "it skipped 1 of the objects"),
        ("nothing", "it found nothing to look at"),
    ],
)
def test_what_was_not_judged_is_not_passed(judge: Judge, case: str, words: str) -> None:
    report = judge(case)
    assert report.status is ToolStatus.NOT_RUN
    assert words in report.reason


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(0, "", ""),
        Outcome(1, "", "flag provided but not defined: -stricter"),
        Outcome(2, "{}", ""),
        Outcome(0, "{}", ""),
        Outcome(0, '{"summary": {"valid": 1, "invalid": 1, "errors": 0, "skipped": 0}}', ""),
        Outcome(1, '{"summary": {"valid": 1, "invalid": 0, "errors": 0, "skipped": 0}}', ""),
        Outcome(1, '{"summary": {"valid": 1, "invalid": 0, "errors": 1, "skipped": 0}}', ""),
        Outcome(0, '{"summary": {"valid": 1, "invalid": 0, "errors": 0, "skipped": 0}}', "",
                timed_out=True),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_not_passed(outcome: Outcome) -> None:
    report = kubeconform.parse(outcome, "0.8.0")
    assert report.status is ToolStatus.NOT_RUN
    assert report.reason


def test_the_call_knows_no_schemas_but_the_given_ones() -> None:
    call = kubeconform.invocation({"objects.yaml": Path("o"), "schemas": Path("s")})
    places = [
        call.arguments[index + 1]
        for index, argument in enumerate(call.arguments)
        if argument == "-schema-location"
    ]
    file = "{{.ResourceKind}}{{.KindSuffix}}.json"
    assert places == [f"schemas/{file}", f"schemas/custom/{file}"]
    assert "-strict" in call.arguments
    assert "-ignore-missing-schemas" not in call.arguments
    assert not call.network
