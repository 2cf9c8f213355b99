from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.environment import Environment
from pipeline.findings import Finding, Location, Severity, ToolReport, ToolStatus
from pipeline.record import Outcome, RunRecord, StageReport
from pipeline.verdict import Level, Violation

# Whatever a renderer might obey: escape sequences, a line that reads backwards, Markdown, HTML,
# XML, what XML cannot hold, and a lone surrogate.
HOSTILE = (
    "\x1b[31mred\x07 \u202edoof\u202c | `x` **b** <script>&amp;]]> [a](http://x) \ud800\x00\n# h"
)


@pytest.fixture
def record() -> RunRecord:
    """A run that was denied, with every kind of thing that a report has to show."""
    pickle = Finding(
        tools=("bandit",),
        rule="B301",
        severity=Severity.MEDIUM,
        message="Pickle can be unsafe",
        location=Location(file="submission/src/my train.py", line=14),
        url="https://bandit.example/b301",
        aliases=("CWE-502",),
    )
    vulnerable = Finding(
        tools=("safety",),
        rule="CVE-2020-28493",
        severity=Severity.UNKNOWN,
        message="ReDoS",
        package="jinja2",
        installed_version="2.4.1",
        fixed_version="2.11.3",
    )
    scan = StageReport(
        stage="scan",
        outcome=Outcome.DENIED,
        summary="2 of 3 scanners ran",
        inputs={"server": "sha256:aa"},
        outputs={"findings": "sha256:bb"},
        tools=(
            ToolReport(
                tool="bandit",
                version="1.9.4",
                status=ToolStatus.RAN,
                audited=2,
                findings=(pickle, pickle.model_copy(update={"message": "again"})),
            ),
            ToolReport(
                tool="safety",
                version="3.8.1",
                status=ToolStatus.RAN,
                audited=9,
                findings=(vulnerable,),
            ),
            ToolReport(
                tool="pip-audit",
                version="2.10.1",
                status=ToolStatus.NOT_RUN,
                reason="no network (as of 12:00 UTC)",
            ),
        ),
        violations=(
            Violation(
                id="SC-VUL-001",
                title="No known vulnerability blocks",
                path="jinja2",
                actual={"severity": "unknown"},
                expected="no finding of high severity",
                remedy="Upgrade jinja2 to 2.11.3.",
            ),
            Violation(
                id="SC-WARN-001",
                title="Scanners should have run",
                level=Level.WARN,
                path="pip-audit",
                actual=None,
                expected="ran",
                remedy="Connect.",
            ),
        ),
        artifacts={"bandit.json": "reports/bandit.json"},
        seconds=3.25,
    )
    govern = StageReport(
        stage="govern", outcome=Outcome.PASSED, summary="31 rules hold", seconds=0.1, reused=True
    )
    return RunRecord(
        id="20261123T120000000Z-abcdef",
        command="deploy",
        manifest="examples/valid/model manifest.yaml",
        model="fraud-detector",
        version="1.2.0",
        environment=Environment.STAGING,
        runtime="host",
        started=datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
        finished=datetime(2026, 11, 23, 12, 0, 4, tzinfo=UTC),
        pid=1,
        outcome=Outcome.DENIED,
        stages=(govern, scan),
    )


@pytest.fixture
def hostile(record: RunRecord) -> RunRecord:
    """The same run with text in every place that someone else can write."""
    scan = record.stages[1]
    finding = (
        scan.tools[0]
        .findings[0]
        .model_copy(
            update={
                "rule": HOSTILE,
                "message": HOSTILE,
                "location": Location(file=f"submission/{HOSTILE}", line=1),
            }
        )
    )
    tools = (
        scan.tools[0].model_copy(update={"findings": (finding,)}),
        scan.tools[2].model_copy(update={"reason": HOSTILE}),
    )
    words = {"title": HOSTILE, "path": HOSTILE, "actual": HOSTILE, "remedy": HOSTILE}
    violation = scan.violations[0].model_copy(update={**words, "expected": HOSTILE})
    changes = {"summary": HOSTILE, "tools": tools, "violations": (violation,)}
    stage = scan.model_copy(update=changes)
    return record.model_copy(
        update={"stages": (stage,), "model": HOSTILE, "error": HOSTILE, "manifest": HOSTILE}
    )
