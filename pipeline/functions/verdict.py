"""What the policies say of a manifest."""

from __future__ import annotations

import json

import dagger
from dagger import dag

from pipeline.functions.arguments import Format, ReportFormat
from pipeline.functions.reports import rendered
from pipeline.functions.sdk import field, function, object_type
from pipeline.record import RunRecord, StageReport
from pipeline.verdict import Level
from pipeline.verdict import Violation as Stated


@object_type
class Violation:
    """One rule that was not met."""

    rule: str = field()
    """The rule's stable name"""
    title: str = field()
    level: str = field()
    """deny or warn"""
    path: str = field()
    """The field or artifact that broke it"""
    actual: str = field()
    """What was found there, as JSON"""
    expected: str = field()
    remedy: str = field()

    @classmethod
    def of(cls, stated: Stated) -> Violation:
        """The engine's form of a violation."""
        return cls(
            rule=stated.id,
            title=stated.title,
            level=stated.level.value,
            path=stated.path,
            actual=json.dumps(stated.actual, ensure_ascii=False),
            expected=stated.expected,
            remedy=stated.remedy,
        )


@object_type
class Verdict:
    """The policies' decision about a manifest. A no does not fail the call: ask `allowed`."""

    allowed: bool = field()
    """Whether the policies let it in"""
    violations: list[Violation] = field()
    """Every rule that was not met, those that deny and those that warn"""
    policy_digest: str = field()
    """The digest of the policies that were asked"""
    text: str
    record: str

    @classmethod
    def of(cls, stage: StageReport, record: RunRecord, text: str) -> Verdict:
        """What a govern stage came to."""
        return cls(
            allowed=not any(v.level is Level.DENY for v in stage.violations)
            and stage.outcome.value == "passed",
            violations=[Violation.of(violation) for violation in stage.violations],
            policy_digest=stage.inputs.get("policies", ""),
            text=text,
            record=record.model_dump_json(),
        )

    @function()
    def summary(self) -> str:
        """All of it on one screen, with the command that does it again."""
        return self.text

    @function()
    def report(self, format: Format = ReportFormat.JSON) -> dagger.File:  # noqa: A002
        """The verdict as a file."""
        name, content = rendered(RunRecord.model_validate_json(self.record), format)
        return dag.directory().with_new_file(name, content).file(name)
