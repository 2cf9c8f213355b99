"""The converter's report is read strictly: what is not said to agree does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtimes.interface import Outcome
from pipeline.tools import converter
from pipeline.tools.interface import NoResult

COMPARED = {"rows": 4, "largest": 1e-7, "other_class": 0}


def outcome(document: Any, **changes: Any) -> Outcome:
    text = document if isinstance(document, str) else json.dumps(document)
    files = {converter.REPORT: text.encode(), converter.ONNX: b"onnx"}
    given: dict[str, Any] = {"exit_code": 0, "stdout": "", "stderr": "", "files": files}
    return Outcome(**(given | changes))


def report(**compared: Any) -> dict[str, Any]:
    return {"converted": True, "compared": {"golden": COMPARED, **compared}}


def test_a_conversion_is_read() -> None:
    found = converter.parse(outcome(report(held_out=COMPARED | {"rows": 200})))
    assert (found.onnx, found.reason, found.rows) == (b"onnx", "", "")
    assert found.compared["held_out"] == converter.Compared(200, 1e-7, 0)


def test_a_reason_is_read() -> None:
    found = converter.parse(outcome({"converted": False, "reason": "no such operator"}))
    assert (found.onnx, found.reason) == (None, "no such operator")


@pytest.mark.parametrize(
    "broken",
    [
        outcome(report(), exit_code=1),
        outcome(report(), timed_out=True),
        outcome(report(), files={}),
        outcome(report(), files={converter.REPORT: json.dumps(report()).encode()}),
        outcome("{"),
        outcome("[]"),
        outcome({}),
        outcome({"converted": False}),
        outcome({"converted": "yes"}),
        outcome({"converted": True}),
        outcome({"converted": True, "compared": {}}),
        outcome({"converted": True, "compared": {"held_out": COMPARED}}),
        outcome(report(golden={})),
        outcome(report(golden=COMPARED | {"rows": "4"})),
        outcome(report(golden=COMPARED | {"other_class": False})),
        outcome(report(golden=COMPARED | {"largest": "x"})),
    ],
)
def test_anything_else_is_no_result(broken: Outcome) -> None:
    with pytest.raises(NoResult):
        converter.parse(broken)


@pytest.mark.parametrize(
    ("compared", "fits"),
    [
        (converter.Compared(4, 1e-7, 0), True),
        (converter.Compared(4, 1e-4, 0), False),
        (converter.Compared(4, 1e-7, 1), False),
        (converter.Compared(0, 0.0, 0), False),
        (converter.Compared(4, None, 0), False),
        (converter.Compared(4, float("nan"), 0), False),
        (converter.Compared(4, -1.0, 0), False),
    ],
)
def test_what_agrees(compared: converter.Compared, fits: bool) -> None:
    assert compared.within(1e-5) is fits


def test_the_call_names_what_it_needs(tmp_path: Path) -> None:
    call = converter.invocation(tmp_path, tmp_path / "m", tmp_path / "r", tmp_path / "h")
    assert set(call.inputs) == {"code/serving", "model.pt2", "request.json", "held_out.csv"}
    assert call.outputs == (converter.ONNX, converter.REPORT)
    assert not call.network
    asked = json.loads(converter.request_of(["b", "a"], [{"a": 1, "b": 2}], held_out=False))
    assert asked["golden"] == [[2, 1]]
    assert asked["held_out"] is None
