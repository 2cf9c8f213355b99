"""A run's record in the forms that other programs read."""

from __future__ import annotations

from pipeline.functions.arguments import ReportFormat
from pipeline.record import RunRecord
from pipeline.reports import junit, markdown, sarif


def rendered(record: RunRecord, form: ReportFormat) -> tuple[str, str]:
    """A file's name and content."""
    match form:
        case ReportFormat.SARIF:
            return "mlifecycle.sarif", sarif.render(record)
        case ReportFormat.JUNIT:
            return "junit.xml", junit.render(record)
        case ReportFormat.MARKDOWN:
            return "summary.md", markdown.render(record)
        case ReportFormat.JSON:
            return "record.json", record.model_dump_json(indent=2) + "\n"
