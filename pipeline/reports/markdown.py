"""summary.md: the run for a person, and for the summary page of a CI system."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from pipeline.findings import Finding, ToolReport, ToolStatus
from pipeline.record import Outcome, RunRecord, StageReport
from pipeline.reports import text
from pipeline.scanning.merging import merge
from pipeline.verdict import Level, Violation

FINDINGS = 50  # rows, after which the full list is referred to
# What has a meaning within a line, and what makes GitHub's renderer see an address.
_SPECIAL = re.compile(r"[\\`*_\[\]|~!#@]|:(?=//)|(?<=www)\.", re.IGNORECASE)


def render(record: RunRecord) -> str:
    """The whole run: verdict, stages, violations, scanners, findings, digests, the way back."""
    parts = [
        _head(record),
        _stages(record.stages),
        _violations(record.violations),
        *_scan([tool for stage in record.stages for tool in stage.tools]),
        _digests(record),
        _reports(record.stages),
        f"## Run it again\n\n{code_block(text.command(record))}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(string: str) -> str:
    """`string` as plain text in Markdown: no markup, no HTML, no address, one line."""
    line = text.printable(" ".join(string.split()))
    return html.escape(_SPECIAL.sub(r"\\\g<0>", line), quote=False)


def code(string: str) -> str:
    """`string` as code in a table's cell, whatever backquotes and bars it holds."""
    line = text.printable(" ".join(string.split()))
    if not line:
        return ""
    # Neither can be written inside backquotes in a cell such that every renderer agrees.
    return f"<code>{escaped(line)}</code>" if {"`", "|"} & set(line) else f"`{line}`"


def code_block(string: str) -> str:
    """`string`, a command, as a block of code whose fence it cannot end."""
    longest = max((len(run) for run in re.findall("`+", string)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{text.printable(string)}\n{fence}"


def _head(record: RunRecord) -> str:
    words = {
        Outcome.PASSED: "passed",
        Outcome.DENIED: "denied",
        Outcome.FAILED: "failed",
        None: "did not end",
    }
    model = " ".join(part for part in (record.model, record.version) if part) or record.manifest
    lines = [
        f"# {escaped(record.command)}: {words[record.outcome]}",
        f"{escaped(model)} in **{record.environment}**, run {code(record.id)}, "
        f"started {record.started:%Y-%m-%d %H:%M:%S %Z}, runtime {escaped(record.runtime)}.",
    ]
    if record.error:
        lines.append(f"**Error:** {escaped(record.error)}")
    return "\n\n".join(lines)


def _stages(stages: Sequence[StageReport]) -> str:
    rows = [
        (
            escaped(stage.stage),
            f"{stage.outcome}{' (found by digest)' if stage.reused else ''}",
            text.duration(stage.seconds),
            escaped(stage.summary),
        )
        for stage in stages
    ]
    return _section("Stages", ("stage", "outcome", "time", "summary"), rows)


def _violations(violations: Sequence[Violation]) -> str:
    ordered = sorted(violations, key=lambda v: (v.level is not Level.DENY, v.id, v.path))
    rows = [
        (
            f"**{v.level}**" if v.level is Level.DENY else str(v.level),
            code(v.id),
            escaped(v.title),
            code(v.path),
            code(text.value(v.actual)),
            escaped(v.expected),
            escaped(v.remedy),
        )
        for v in ordered
    ]
    head = ("level", "rule", "title", "where", "found", "expected", "what to do")
    return _section("Violations", head, rows)


def _scan(tools: Sequence[ToolReport]) -> list[str]:
    rows = [
        (
            escaped(tool.tool),
            escaped(tool.version),
            f"**not run**: {escaped(tool.reason)}" if tool.status is ToolStatus.NOT_RUN else "ran",
            str(tool.audited),
            str(len(tool.findings)) if tool.status is ToolStatus.RAN else "",
        )
        for tool in tools
    ]
    head = ("scanner", "version", "status", "audited", "findings")
    found = merge(finding for tool in tools for finding in tool.findings)
    return [_section("Scanners", head, rows), _findings(found)]


def _findings(found: Sequence[Finding]) -> str:
    rows = [
        (
            str(finding.severity),
            code(finding.rule),
            code(_place(finding)),
            escaped(text.one_line(finding.message)),
            escaped(finding.fixed_version or ""),
            escaped(", ".join(finding.tools)),
        )
        for finding in found[:FINDINGS]
    ]
    head = ("severity", "rule", "where", "what", "fixed in", "seen by")
    table = _section("Findings", head, rows)
    if len(found) > FINDINGS:
        table += f"\n\n{len(found) - FINDINGS} more are in `reports/findings.json`."
    return table


def _place(finding: Finding) -> str:
    if finding.package:
        return f"{finding.package} {finding.installed_version or ''}".strip()
    if finding.location is None:
        return ""
    line = finding.location.line
    return finding.location.file + (f":{line}" if line is not None else "")


def _digests(record: RunRecord) -> str:
    rows = [
        (escaped(stage.stage), direction, escaped(name), code(value))
        for stage in record.stages
        for direction, digests in (("in", stage.inputs), ("out", stage.outputs))
        for name, value in sorted(digests.items())
    ]
    if record.release:
        rows.append(("", "", "release", code(record.release)))
    return _section("Digests", ("stage", "", "what", "digest"), rows)


def _reports(stages: Sequence[StageReport]) -> str:
    rows = [
        (escaped(stage.stage), escaped(name), code(path))
        for stage in stages
        for name, path in sorted(stage.artifacts.items())
    ]
    return _section("Reports", ("stage", "report", "file"), rows)


def _section(title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    if not lines:
        return ""
    rule = "|" + " --- |" * len(head)
    return "\n".join([f"## {title}", "", f"| {' | '.join(head)} |", rule, *lines])
