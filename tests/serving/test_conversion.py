"""A model of torch becomes an ONNX file that answers the same, and nothing else becomes one."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from served_example import EXAMPLES

from serving.conversion.agreement import Comparison, InvalidRows, compare, read_rows
from serving.conversion.convert import Unconvertible, convert
from serving.errors import UnfitModel, UnsafeArchive
from serving.lanes import onnx as lane_of
from serving.lanes.interface import Rows

MODELS = {name: EXAMPLES / name for name in ("fraud-detector", "breast-cancer")}


def features(folder: Path) -> list[str]:
    with (folder / "holdout.csv").open() as lines:
        head = next(csv.reader(lines))
    return head[:-2]  # without the protected attribute and the label


@pytest.fixture(scope="module", params=list(MODELS))
def example(request: pytest.FixtureRequest) -> tuple[bytes, Any, Rows]:
    """An example's ONNX file, torch's module, and the held-out rows."""
    folder = MODELS[request.param]
    content, module = convert((folder / "model.pt2").read_bytes())
    return content, module, read_rows(folder / "holdout.csv", features(folder))


def exported(module: torch.nn.Module, width: int = 3) -> bytes:
    rows = torch.export.Dim("rows")
    program = torch.export.export(
        module.eval(), (torch.rand(4, width),), dynamic_shapes=({0: rows},)
    )
    stored = io.BytesIO()
    torch.export.save(program, stored)
    return stored.getvalue()


class Softmax(torch.nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.softmax(rows, dim=1)


def test_both_answer_the_same_on_every_held_out_row(example: tuple[bytes, Any, Rows]) -> None:
    content, module, rows = example
    compared = compare(module, lane_of.load(content), rows)
    assert compared.rows == len(rows) >= 200
    assert compared.within(1e-5)


def test_the_file_is_of_onnx_own_operators_and_says_nothing_else(
    example: tuple[bytes, Any, Rows],
) -> None:
    model = onnx.load_from_string(example[0])
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    assert not model.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert all(not tensor.external_data for tensor in model.graph.initializer)
    assert str(EXAMPLES.parent.parent).encode() not in example[0]


def test_two_conversions_in_two_processes_give_the_same_bytes(tmp_path: Path) -> None:
    folder = MODELS["fraud-detector"]
    request = {
        "model": str(folder / "model.pt2"),
        "features": features(folder),
        "golden": read_rows(folder / "holdout.csv", features(folder))[:3].tolist(),
        "held_out": str(folder / "holdout.csv"),
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    written = []
    for name, seed in (("one", "1"), ("two", "2")):
        subprocess.run(
            [
                *(sys.executable, "-m", "serving.conversion"),
                *(str(tmp_path / "request.json"), str(tmp_path / name)),
            ],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path.cwd())},
            check=True,
            capture_output=True,
        )
        written.append((tmp_path / name / "model.onnx").read_bytes())
    assert written[0] == written[1]
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    assert report["converted"] is True
    assert report["compared"]["golden"]["rows"] == 3
    assert report["compared"]["held_out"]["rows"] == 2500
    assert report["compared"]["held_out"]["other_class"] == 0


def test_the_lane_starts_without_torch(example: tuple[bytes, Any, Rows], tmp_path: Path) -> None:
    content, module, rows = example
    (tmp_path / "model.onnx").write_bytes(content)
    np.save(tmp_path / "rows.npy", rows[:5])
    program = (
        "import sys; import numpy as np\n"
        "from serving.lanes import onnx\n"
        "lane = onnx.load(open('model.onnx', 'rb').read())\n"
        "print(lane.predict(np.load('rows.npy')).tolist())\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        check=True,
        capture_output=True,
        text=True,
    )
    with torch.inference_mode():
        expected = module(torch.from_numpy(rows[:5])).numpy()
    assert np.allclose(json.loads(done.stdout), expected, atol=1e-6)


def test_a_hostile_archive_is_refused_before_torch_sees_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.export, "load", lambda _: pytest.fail("torch was given the file"))
    with pytest.raises(UnsafeArchive):
        convert(b"PK\x03\x04 no archive")


def test_what_onnx_has_no_operator_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("No decomposition\nfor aten.frobnicate")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(Unconvertible, match="cannot write it as ONNX: RuntimeError: No decomp"):
        convert(exported(Softmax()))


def _with(change: Any) -> bytes:
    content, _ = convert(exported(Softmax()))
    model = onnx.load_from_string(content)
    change(model)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 64,
        _with(lambda model: setattr(model.graph.node[0], "op_type", "Frobnicate")),
        _with(lambda model: setattr(model.graph.node[0], "domain", "evil.example")),
        _with(lambda model: model.graph.output.append(model.graph.output[0])),
    ],
)
def test_a_file_that_onnx_runtime_cannot_run_is_refused(content: bytes) -> None:
    with pytest.raises(UnfitModel, match="ONNX Runtime cannot load"):
        lane_of.load(content)


class Off:
    """A lane that answers as the module does, and a little beside it."""

    name = "off"

    def __init__(self, module: Any, change: Any) -> None:
        self.module = module
        self.change = change

    def predict(self, rows: Rows) -> Rows:
        with torch.inference_mode():
            answer: Rows = self.module(torch.from_numpy(rows)).numpy()
        return np.asarray(self.change(answer), dtype=np.float32)


ROWS = np.random.default_rng(7).random((300, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("change", "tolerance", "fits"),
    [
        (lambda answer: answer, 1e-7, True),
        (lambda answer: answer + 1e-4, 1e-3, True),
        (lambda answer: answer + 1e-4, 1e-5, False),
        (lambda answer: answer[:, ::-1], 0.9, False),
        (lambda answer: answer * np.nan, 0.9, False),
        (lambda answer: answer[:, :2], 0.9, False),
        # right for a single row, wrong in a batch
        (lambda answer: answer if len(answer) == 1 else answer[::-1], 0.9, False),
    ],
)
def test_the_least_disagreement_is_found(change: Any, tolerance: float, fits: bool) -> None:
    compared = compare(Softmax(), Off(Softmax(), change), ROWS)
    assert compared.within(tolerance) is fits


def test_one_other_class_is_no_agreement() -> None:
    assert not Comparison(rows=9, largest=0.0, other_class=1, finite=True).within(0.5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1 has no column 'a'"),
        ("a,c\n1,2\n", "line 1 has no column 'b'"),
        ("a,b\n", "holds no row"),
        ("a,b\n1,2\n1,x\n", "line 3 has 'x' for 'b'"),
        ("a,b\n1\n", "line 2 has None for 'b'"),
        ("a,b\n1,nan\n", "line 2 has 'nan' for 'b'"),
        ("a,b\n1,inf\n", "line 2 has 'inf' for 'b'"),
    ],
)
def test_rows_that_cannot_be_read_are_named_by_line(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(InvalidRows) as refused:
        read_rows(tmp_path / "rows.csv", ["a", "b"])
    assert says in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(InvalidRows, match="no CSV file"):
        read_rows(tmp_path / "rows.csv", ["a", "b"])
