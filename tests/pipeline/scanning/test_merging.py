from __future__ import annotations

import itertools

from pipeline.findings import Finding, Location, Severity
from pipeline.scanning.merging import merge


def code(tool: str, rule: str, line: int = 3, cwe: str = "CWE-502", **more: object) -> Finding:
    values = {"severity": Severity.MEDIUM, "message": rule, "aliases": (cwe,), **more}
    return Finding(tools=(tool,), rule=rule, location=Location(file="a.py", line=line), **values)


def vulnerability(tool: str, rule: str, *aliases: str, **more: object) -> Finding:
    values = {
        "severity": Severity.UNKNOWN,
        "message": rule,
        "package": "jinja2",
        "installed_version": "2.4.1",
        **more,
    }
    return Finding(tools=(tool,), rule=rule, aliases=aliases, **values)


def test_two_tools_on_one_line_are_two_witnesses_of_the_worst() -> None:
    (one,) = merge([code("bandit", "B301"), code("semgrep", "pickle-load", severity=Severity.HIGH)])
    assert one.tools == ("bandit", "semgrep")
    assert (one.rule, one.severity) == ("pickle-load", Severity.HIGH)
    assert one.aliases == ("B301", "CWE-502")


def test_another_line_or_another_weakness_is_another_defect() -> None:
    assert len(merge([code("a", "r"), code("b", "s", line=4)])) == 2
    assert len(merge([code("a", "r"), code("b", "s", cwe="CWE-78")])) == 2


def test_one_vulnerability_by_any_of_its_names() -> None:
    (one,) = merge(
        [
            vulnerability("pip-audit", "PYSEC-1", "CVE-1", "GHSA-1", fixed_version="3.0"),
            vulnerability("safety", "CVE-1", "SAFETY-7", package="Jinja2"),
        ]
    )
    assert one.tools == ("pip-audit", "safety")
    assert {one.rule, *one.aliases} == {"PYSEC-1", "CVE-1", "GHSA-1", "SAFETY-7"}
    assert one.fixed_version == "3.0"


def test_a_third_witness_joins_two_that_shared_no_name() -> None:
    separate = [vulnerability("a", "PYSEC-1"), vulnerability("b", "CVE-1")]
    assert len(merge(separate)) == 2
    assert len(merge([*separate, vulnerability("c", "GHSA-1", "PYSEC-1", "CVE-1")])) == 1


def test_the_same_id_in_another_package_is_another_defect() -> None:
    assert len(merge([vulnerability("a", "CVE-1"), vulnerability("a", "CVE-1", package="x")])) == 2


def test_a_stated_severity_counts_for_more_than_none() -> None:
    known = vulnerability("b", "CVE-1", severity=Severity.LOW)
    (one,) = merge([vulnerability("a", "CVE-1"), known])
    assert one.severity is Severity.LOW
    (alone,) = merge([vulnerability("a", "CVE-1")])
    assert alone.severity is Severity.UNKNOWN


def test_the_order_of_the_tools_does_not_matter() -> None:
    findings = [
        vulnerability("a", "PYSEC-1"),
        vulnerability("b", "CVE-1"),
        vulnerability("c", "GHSA-1", "PYSEC-1", "CVE-1"),
        code("d", "r", severity=Severity.CRITICAL),
        code("e", "s"),
    ]
    results = {merge(order) for order in itertools.permutations(findings)}
    assert len(results) == 1
    assert [finding.rule for finding in results.pop()] == ["r", "CVE-1"]


def test_the_worst_comes_first() -> None:
    found = merge([code("a", "r"), code("a", "s", line=9, severity=Severity.CRITICAL)])
    assert [finding.severity for finding in found] == [Severity.CRITICAL, Severity.MEDIUM]
