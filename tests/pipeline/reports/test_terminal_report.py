from __future__ import annotations

import io
from pathlib import Path

import pytest

from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.record import Outcome, RunRecord
from pipeline.reports import terminal

FOLDER = Path("runs/x")


class Screen(io.TextIOWrapper):
    """A stream that says whether it is a terminal."""

    def __init__(self, tty: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, newline="\n")
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_no_says_what_where_and_what_to_do(record: RunRecord) -> None:
    text = terminal.summary(record, FOLDER, Screen(tty=False))
    assert "deny SC-VUL-001 No known vulnerability blocks" in text
    assert "where     jinja2" in text
    assert 'found     {"severity": "unknown"}' in text
    assert "found     absent" in text
    assert "do        Upgrade jinja2 to 2.11.3." in text
    assert "deploy: no, fraud-detector 1.2.0 in staging, denied by scan (4.00 s)" in text
    assert "evidence    runs/x/summary.md" in text


def test_a_scanner_that_did_not_run_is_named_once(record: RunRecord) -> None:
    assert "not run pip-audit" not in terminal.summary(record, FOLDER, Screen(tty=False))
    stage = record.stages[1].model_copy(update={"violations": ()})
    text = terminal.summary(
        record.model_copy(update={"stages": (stage,)}), FOLDER, Screen(tty=False)
    )
    assert "not run pip-audit: no network (as of 12:00 UTC)" in text


def test_what_denies_stands_last_where_the_eye_is(record: RunRecord) -> None:
    text = terminal.summary(record, FOLDER, Screen(tty=False))
    assert text.index("warn SC-WARN-001") < text.index("deny SC-VUL-001")


def test_a_yes_shows_where_it_serves(record: RunRecord) -> None:
    outputs = {"url": "http://127.0.0.1:1", "try": "curl …", "answer": "{}"}
    stage = record.stages[0].model_copy(update={"outputs": outputs})
    changes = {"stages": (stage,), "outcome": Outcome.PASSED}
    text = terminal.summary(record.model_copy(update=changes), FOLDER, Screen(tty=False))
    assert "serving at  http://127.0.0.1:1\ntry         curl …\nit answers  {}" in text
    assert "deploy: yes, fraud-detector 1.2.0 in staging" in text


def test_a_failure_says_why(record: RunRecord) -> None:
    failed = record.model_copy(update={"outcome": Outcome.FAILED, "error": "disk full"})
    assert "failed" in terminal.summary(failed, FOLDER, Screen(tty=False))
    assert "disk full" in terminal.summary(failed, FOLDER, Screen(tty=False))


def test_colours_only_on_a_terminal(record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[31m" in terminal.summary(record, FOLDER, Screen(tty=True))
    assert "\x1b" not in terminal.summary(record, FOLDER, Screen(tty=False))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in terminal.summary(record, FOLDER, Screen(tty=True))


def test_hostile_text_reaches_no_terminal(hostile: RunRecord) -> None:
    text = terminal.summary(hostile, FOLDER, Screen(tty=False))
    assert not set("\x1b\x07\x00\u202e\ud800") & set(text)
    assert "\\x1b[31mred" in text
    assert "\n# h" not in text, "no line of its own"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_poor_encoding_shows_all_the_same(record: RunRecord, encoding: str) -> None:
    screen = Screen(tty=False, encoding=encoding)
    live = terminal.Live(screen)
    live.finished(record.stages[0].model_copy(update={"summary": "≥ 0.85 …"}))
    screen.write(terminal.summary(record, FOLDER, screen))
    assert "+ govern" in screen.text()
    assert "\\u2265 0.85" in screen.text()


def test_live_lines_in_a_log(record: RunRecord) -> None:
    screen = Screen(tty=False)
    live = terminal.Live(screen)
    live.started("scan")
    live.step("scan", "bandit\x1b[2J is looking")
    live.finished(record.stages[1])
    live.started("sbom")
    live.finished(record.stages[0])
    assert screen.text().splitlines() == [
        "  scan       bandit\\x1b[2J is looking",
        "✗ scan       2 of 3 scanners ran (3.25 s)",
        "✓ govern     31 rules hold (found by its digest, 0.10 s)",
    ]


def test_live_on_a_terminal_keeps_one_changing_line(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    screen = Screen(tty=True)
    live = terminal.Live(screen)
    live.started("sbom")
    live.started("scan")
    live.step("scan", "semgrep is looking at a great many files of yours")
    assert "\n" not in screen.text(), "and never wider than the screen"
    assert "sbom | scan semgrep" in screen.text()
    live.finished(record.stages[1])
    last = screen.text().rpartition("\n")[2]
    assert "sbom" in last
    assert "semgrep" not in last


def test_errors_in_words() -> None:
    problem = Problem("m.yaml", "spec.a\x1b", "3", "a string", "Quote it.", line=7)
    screen = Screen(tty=False)
    assert terminal.error(InvalidInput([problem, problem]), screen).count("\n") == 2
    assert "m.yaml:7: spec.a\\x1b is 3; expected a string. Quote it." in terminal.error(
        InvalidInput([problem]), screen
    )
    assert terminal.error(EnvironmentFailed("No uv.", "Install it."), screen) == (
        "error No uv.\n      Install it.\n"
    )
