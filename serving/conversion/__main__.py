"""Convert a model and compare the two: python -m serving.conversion REQUEST FOLDER.

The request is JSON: `features` and `golden`, the golden inputs' rows in their order; `model` is
the model file, and `held_out`, when it is not null, a CSV file with a column for each feature. Into
the folder come `model.onnx` and `report.json`. The report says `converted` and why not, or how far
the answers are apart; so the exit code is 0 whenever there is one.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from serving.conversion.agreement import InvalidRows, compare, read_rows
from serving.conversion.convert import OPSET, Unconvertible, convert
from serving.errors import ServingError
from serving.lanes import onnx as lane_of

WITH = ("torch", "onnx", "onnxscript", "onnxruntime")


def main(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write `model.onnx` into `folder` and return the report."""
    report: dict[str, Any] = {
        "converted": False,
        "opset": OPSET,
        "with": {name: importlib.metadata.version(name) for name in WITH},
    }
    try:
        content, module = convert(Path(request["model"]).read_bytes())
        lane = lane_of.load(content)
        golden = np.array(request["golden"], dtype=np.float32)
        comparisons = {"golden": compare(module, lane, golden)}
        if request["held_out"] is not None:
            held_out = read_rows(Path(request["held_out"]), request["features"])
            comparisons["held_out"] = compare(module, lane, held_out)
    except InvalidRows as error:
        return {**report, "rows": str(error)}
    except (Unconvertible, ServingError) as error:
        return {**report, "reason": str(error)}
    except Exception as error:  # a model may fail on its own golden inputs
        return {**report, "reason": f"{type(error).__name__}: {error}"}
    (folder / "model.onnx").write_bytes(content)
    return {
        **report,
        "converted": True,
        "compared": {
            name: {
                "rows": each.rows,
                "largest": each.largest if each.finite else None,
                "other_class": each.other_class,
            }
            for name, each in comparisons.items()
        },
    }


if __name__ == "__main__":
    place = Path(sys.argv[2])
    place.mkdir(parents=True, exist_ok=True)
    told = main(json.loads(Path(sys.argv[1]).read_bytes()), place)
    (place / "report.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")
