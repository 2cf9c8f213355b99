"""SARIF 2.1.0: every scanner's findings and the policies' violations, for code scanning views.

One SARIF run a tool, so that a scanner that did not run is seen as such
(`executionSuccessful: false`), and one for the pipeline's own verdict.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from pipeline import digest
from pipeline.findings import Finding, Severity, ToolReport, ToolStatus
from pipeline.record import Outcome, RunRecord
from pipeline.reports import text
from pipeline.tools.interface import SUBMISSION
from pipeline.verdict import Level, Violation

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.UNKNOWN: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
# The number by which GitHub ranks a security rule.
SCORES = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.UNKNOWN: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "2.5",
    Severity.INFO: "0.5",
}


def render(record: RunRecord) -> str:
    """The run's findings and violations. Files of the submission are named from where it lies."""
    runs = [_tool_run(record, tool) for stage in record.stages for tool in stage.tools]
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [*runs, _verdict_run(record)]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _tool_run(record: RunRecord, tool: ToolReport) -> dict[str, Any]:
    invocation: dict[str, Any] = {"executionSuccessful": tool.status is ToolStatus.RAN}
    if tool.status is ToolStatus.NOT_RUN:
        note = {"level": "error", "message": {"text": f"not run: {tool.reason}"}}
        invocation["toolExecutionNotifications"] = [note]
    worst: dict[str, Finding] = {}
    for finding in sorted(tool.findings, key=lambda finding: finding.severity.rank):
        worst[finding.rule] = finding
    rules = [_finding_rule(worst[rule]) for rule in sorted(worst)]
    results = [_finding_result(record, finding, sorted(worst)) for finding in tool.findings]
    return _run(tool.tool, tool.version, rules, results, invocation)


def _verdict_run(record: RunRecord) -> dict[str, Any]:
    violations = record.violations
    ids = sorted({violation.id for violation in violations})
    titles = {violation.id: violation for violation in violations}
    rules = [
        {
            "id": name,
            "shortDescription": {"text": titles[name].title},
            "help": {"text": titles[name].remedy},
        }
        for name in ids
    ]
    results = [_violation_result(record, violation, ids) for violation in violations]
    invocation: dict[str, Any] = {
        "executionSuccessful": record.outcome in (Outcome.PASSED, Outcome.DENIED)
    }
    if record.error is not None:
        note = {"level": "error", "message": {"text": record.error}}
        invocation["toolExecutionNotifications"] = [note]
    return _run("mlifecycle", "", rules, results, invocation)


def _run(
    name: str,
    version: str,
    rules: list[dict[str, Any]],
    results: list[dict[str, Any]],
    invocation: dict[str, Any],
) -> dict[str, Any]:
    driver: dict[str, Any] = {"name": name, "rules": rules}
    if version:
        driver["version"] = version
    return {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"mlifecycle/{name}/"},
        "invocations": [invocation],
        "results": results,
    }


def _finding_rule(finding: Finding) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": finding.rule,
        "shortDescription": {"text": text.one_line(finding.message)},
        "properties": {
            "security-severity": SCORES[finding.severity],
            "tags": ["security", *(a for a in finding.aliases if a.startswith("CWE-"))],
        },
    }
    if finding.url:
        rule["helpUri"] = finding.url
    return rule


def _finding_result(record: RunRecord, finding: Finding, rules: Sequence[str]) -> dict[str, Any]:
    message = finding.message
    if finding.package:
        fixed = f"; fixed in {finding.fixed_version}" if finding.fixed_version else ""
        message = f"{finding.package} {finding.installed_version or ''}: {message}{fixed}"
    file = finding.location.file if finding.location else ""
    line = finding.location.line if finding.location else None
    return _result(
        finding.rule,
        rules,
        LEVELS[finding.severity],
        message,
        _uri(record, file),
        line,
        (finding.rule, file, str(line), finding.package or ""),
        logical=finding.package or "",
    )


def _violation_result(
    record: RunRecord, violation: Violation, rules: Sequence[str]
) -> dict[str, Any]:
    found = text.value(violation.actual)
    message = (
        f"{violation.title}: {violation.path} is {found}, expected {violation.expected}. "
        f"{violation.remedy}"
    )
    return _result(
        violation.id,
        rules,
        "error" if violation.level is Level.DENY else "warning",
        message,
        _uri(record, ""),
        None,
        (violation.id, violation.path),
        logical=violation.path,
    )


def _result(
    rule: str,
    rules: Sequence[str],
    level: str,
    message: str,
    uri: str,
    line: int | None,
    identity: tuple[str, ...],
    logical: str,
) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if line is not None and line > 0:
        place["region"] = {"startLine": line}
    location: dict[str, Any] = {"physicalLocation": place}
    if logical:
        location["logicalLocations"] = [{"fullyQualifiedName": logical}]
    return {
        "ruleId": rule,
        "ruleIndex": rules.index(rule),
        "level": level,
        "message": {"text": message},
        "locations": [location],
        # The line moves with unrelated edits, but two defects of one kind must stay two.
        "partialFingerprints": {"mlifecycle/v1": digest.of_json(list(identity))},
    }


def _uri(record: RunRecord, file: str) -> str:
    """Where a file is for whoever reads the report; the manifest when it is no file."""
    manifest = PurePosixPath(record.manifest)
    path = PurePosixPath(file) if file else manifest
    if path.parts[:1] == (SUBMISSION,):
        path = manifest.parent.joinpath(*path.parts[1:])
    return ("file://" if path.is_absolute() else "") + quote(
        path.as_posix(), errors="backslashreplace"
    )
