"""A whole run as an object: what `deploy` says in one text, to be asked for piece by piece."""

from __future__ import annotations

import dagger
from dagger import dag

from pipeline.functions.arguments import Format, ReportFormat
from pipeline.functions.reports import rendered
from pipeline.functions.sdk import field, function, object_type
from pipeline.record import RunRecord


@object_type
class Release:
    """What came of taking a manifest all the way. A no does not fail the call: ask `passed`."""

    passed: bool = field()
    """Whether the pipeline said yes"""
    reference: str = field()
    """The published image by digest; without a registry the image's digest; empty after a no"""
    digest: str = field()
    """The release's digest; empty when none was built"""
    evidence: dagger.Directory = field()
    """The run's folder: record.json, summary.md and reports/"""
    text: str
    record: str

    @function()
    def summary(self) -> str:
        """All of it on one screen, with the command that does it again."""
        return self.text

    @function()
    def report(self, format: Format = ReportFormat.JSON) -> dagger.File:  # noqa: A002
        """The run as a file."""
        name, content = rendered(RunRecord.model_validate_json(self.record), format)
        return dag.directory().with_new_file(name, content).file(name)
