"""JUnit XML: a test case a stage and a scanner, for the test view of a CI system."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

from pipeline.findings import ToolReport, ToolStatus
from pipeline.record import Outcome, RunRecord, StageReport
from pipeline.reports import text
from pipeline.verdict import Level

# What XML 1.0 can hold at all.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(record: RunRecord) -> str:
    """The run as one suite. A stage that said no is a failure, a broken tool an error."""
    suite = Xml.Element("testsuite", name=_legal(f"mlifecycle {record.command}"))
    for stage in record.stages:
        _stage(suite, stage)
    if record.error is not None:
        _add(suite, "run", "run", 0.0, "error", record.error, record.error)
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    for count, tag in kinds.items():
        suite.set(count, str(len(suite.findall(f"./testcase/{tag}"))))
    suite.set("tests", str(len(suite)))
    suite.set("time", f"{sum(stage.seconds for stage in record.stages):.3f}")
    suite.set("timestamp", record.started.isoformat(timespec="seconds"))
    root = Xml.Element("testsuites", name="mlifecycle")
    root.append(suite)
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _stage(suite: Xml.Element, stage: StageReport) -> None:
    denied = [v for v in stage.violations if v.level is Level.DENY]
    details = "\n\n".join(
        f"{v.id}: {v.title}\n  at {v.path}: {text.value(v.actual)}\n"
        f"  expected {v.expected}\n  {v.remedy}"
        for v in (denied or stage.violations)
    )
    tag = {Outcome.PASSED: "", Outcome.DENIED: "failure", Outcome.FAILED: "error"}[stage.outcome]
    message = ", ".join(v.id for v in denied) or stage.summary
    body = details or stage.summary
    _add(suite, "stages", stage.stage, stage.seconds, tag, message, body)
    for tool in stage.tools:
        _tool(suite, stage.stage, tool)


def _tool(suite: Xml.Element, stage: str, tool: ToolReport) -> None:
    # A scanner's findings are no failure of their own: the stage's verdict says what blocks.
    tag = "skipped" if tool.status is ToolStatus.NOT_RUN else ""
    reason = f"not run: {tool.reason}"
    _add(suite, stage, f"{tool.tool} {tool.version}".strip(), tool.seconds, tag, reason, "")


def _add(
    suite: Xml.Element,
    group: str,
    name: str,
    seconds: float,
    tag: str,
    message: str,
    body: str,
) -> None:
    case = Xml.SubElement(
        suite,
        "testcase",
        classname=f"mlifecycle.{_legal(group)}",
        name=_legal(name),
        time=f"{seconds:.3f}",
    )
    if tag:
        Xml.SubElement(case, tag, message=_legal(message)).text = _legal(body)


def _legal(string: str) -> str:
    return _ILLEGAL.sub("", string)
