from __future__ import annotations

from pathlib import Path

from pipeline.record import RunRecord
from pipeline.reports import files


def test_every_format_is_written(record: RunRecord, tmp_path: Path) -> None:
    places = files.write(record, tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in places.values()} == {
        "summary.md",
        "reports/mlifecycle.sarif",
        "reports/junit.xml",
    }
    assert all(path.stat().st_size for path in places.values())


def test_hostile_text_is_written_all_the_same(hostile: RunRecord, tmp_path: Path) -> None:
    files.write(hostile, tmp_path)
    (tmp_path / "summary.md").read_text()
