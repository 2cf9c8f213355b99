"""Log lines are one JSON object each, also with a traceback, or plain text."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

from serving import logs
from serving.lanes.interface import Lane
from serving.settings import Settings


def test_a_json_line_holds_time_level_message_and_traceback(
    served: tuple[Settings, Lane], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(served[0])
    log = logging.getLogger("serving.test")
    log.debug("below the level")
    try:
        raise ValueError("inner\nlines")
    except ValueError:
        log.exception("it %s", "failed")
    [line] = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert entry["level"] == "error"
    assert entry["message"] == "it failed"
    assert entry["time"].endswith("Z")
    assert "ValueError: inner\nlines" in entry["traceback"]


def test_text_lines_and_another_level(
    served: tuple[Settings, Lane], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(replace(served[0], log_format="text", log_level="error"))
    logging.getLogger("serving.test").warning("quiet")
    logging.getLogger("serving.test").error("loud")
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("ERROR serving.test: loud")
