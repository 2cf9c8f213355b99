"""The converter: writes a model as ONNX, and says how far the two are apart.

It is the server's own code (`serving/conversion`), in an environment of its own with torch and
torch's exporter, which the hash lock `requirements/converter.txt` names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runtimes.interface import Invocation, Outcome
from pipeline.tools.interface import NoResult, failure

NAME = "converter"
LOCK = "converter.txt"
ONNX = "converted/model.onnx"
REPORT = "converted/report.json"

_HELD_OUT = "held_out.csv"


@dataclass(frozen=True, slots=True)
class Compared:
    """ONNX Runtime's answers beside torch's on some rows: the largest difference of a probability
    (None when one of the two answered with what is no number), and how many rows got another
    class."""

    rows: int
    largest: float | None
    other_class: int

    def within(self, tolerance: float) -> bool:
        """Whether the two are one model, as far as these rows show."""
        near = self.largest is not None and 0 <= self.largest <= tolerance
        return near and self.other_class == 0 and self.rows > 0


@dataclass(frozen=True, slots=True)
class Report:
    """What the converter said. Without `onnx` there is a reason; `rows` is what is wrong with the
    held-out rows."""

    onnx: bytes | None
    reason: str
    rows: str
    compared: Mapping[str, Compared]
    document: Mapping[str, Any]


def invocation(
    code: Path,
    model: Path,
    request: Path,
    held_out: Path | None,
) -> Invocation:
    """Convert `model`. `code` is the folder `serving`, `request` is what `request_of` made."""
    inputs = {"code/serving": code, "model.pt2": model, "request.json": request}
    if held_out is not None:
        inputs[_HELD_OUT] = held_out
    return Invocation(
        tool=NAME,
        command=NAME,
        arguments=("-P", "-m", "serving.conversion", "request.json", str(Path(ONNX).parent)),
        inputs=inputs,
        outputs=(ONNX, REPORT),
        environment={"PYTHONPATH": "code", "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=900,
    )


def request_of(
    features: Sequence[str], golden: Sequence[Mapping[str, float]], *, held_out: bool
) -> bytes:
    """What the converter is asked: the golden inputs' rows, and whether there are others."""
    rows = [[instance[name] for name in features] for instance in golden]
    asked = {
        "model": "model.pt2",
        "features": list(features),
        "golden": rows,
        "held_out": _HELD_OUT if held_out else None,
    }
    return json.dumps(asked, sort_keys=True).encode()


def parse(outcome: Outcome) -> Report:
    """What came of it. Raises NoResult when there is no report, or one that cannot be read."""
    if outcome.timed_out:
        raise NoResult("it was ended at its time limit")
    if outcome.exit_code or REPORT not in outcome.files:
        raise NoResult(failure(outcome))
    try:
        document = json.loads(outcome.files[REPORT])
        if document["converted"] is not True:
            rows, reason = document.get("rows", ""), document.get("reason", "")
            if not rows and not reason:
                raise NoResult("its report gives no reason")
            return Report(None, str(reason), str(rows), {}, document)
        compared = {
            str(name): Compared(
                rows=_whole(each["rows"]),
                largest=None if each["largest"] is None else float(each["largest"]),
                other_class=_whole(each["other_class"]),
            )
            for name, each in document["compared"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoResult(f"its report cannot be read: {error!r}") from None
    if ONNX not in outcome.files:
        raise NoResult(f"it wrote no file that can be kept: {outcome.stderr.strip()[-200:]}")
    if "golden" not in compared:
        raise NoResult("its report compares no golden input")
    return Report(outcome.files[ONNX], "", "", compared, document)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no number of rows")
    return value
