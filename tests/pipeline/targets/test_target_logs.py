"""The servers' logs are bounded in size and number."""

from __future__ import annotations

from pathlib import Path

from pipeline.targets import logs


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.log"
    path.write_text(text)
    return path


def test_a_tail_is_the_last_lines(tmp_path):
    path = write(tmp_path, "1", "a\nb\nc\n")
    assert logs.tail(path, 2) == ["b", "c"]
    assert logs.tail(path, 9) == ["a", "b", "c"]
    assert logs.tail(path, 0) == []
    assert logs.tail(tmp_path / "2.log", 2) == []


def test_a_tail_of_a_large_log_reads_its_end_only(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "_TAIL", 100)
    path = write(tmp_path, "1", "x" * 10_000 + "\nlast\n")
    assert logs.tail(path, 1) == ["last"]


def test_the_last_lines_go_back_over_several_servers(tmp_path):
    write(tmp_path, "20260101T000000000001-aa", "a\nb\n")
    write(tmp_path, "20260101T000000000002-aa", "c\n")
    write(tmp_path, "supervisor", "no\n")
    assert logs.last(tmp_path, 2) == ["b", "c"]
    assert logs.last(tmp_path, 9) == ["a", "b", "c"]


def test_a_log_that_grew_too_large_is_cut_and_its_writer_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "LARGEST", 10)
    path = write(tmp_path, "1", "")
    with path.open("a") as writer:
        writer.write("0123456789abc\n")
        writer.flush()
        logs.bound(tmp_path, {"1"})
        writer.write("next\n")
        writer.flush()
    assert path.read_text() == "next\n"
    assert path.with_suffix(".log.1").read_text() == "0123456789abc\n"


def test_old_logs_go_and_those_of_the_living_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "KEPT", 2)
    for name in ("1", "2", "3", "4"):
        write(tmp_path, name, name)
    (tmp_path / "2.log.1").touch()
    logs.bound(tmp_path, {"1"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.log", "3.log", "4.log"]
