"""Releases to measure with: perceptrons of chosen sizes, as the pipeline leaves them."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import sys
from pathlib import Path
from typing import Any

CLASSES = ["legitimate", "fraud"]
# Beside the releases, for the peers: the module itself, called without torch.export's guards.
EAGER = "eager.pt"


def make(folder: Path, width: int, hidden: int, layers: int) -> None:
    """Releases of one perceptron (width x hidden x … x 2) in `folder`, by lane and batch mode:
    `torch-drain`, `torch-inline`, `onnx-drain`, `onnx-inline`, and `torch-bare` without metrics.

    What is there is left as it is.
    """
    if (folder / EAGER).exists():
        return
    import torch

    from serving.conversion.convert import convert

    torch.manual_seed(1)
    sizes = [width, *[hidden] * layers]
    parts: list[torch.nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        parts += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    module = torch.nn.Sequential(*parts, torch.nn.Linear(hidden, 2), torch.nn.Softmax(dim=1)).eval()
    batch = torch.export.Dim("batch", max=4096)
    program = torch.export.export(module, (torch.rand(4, width),), dynamic_shapes=({0: batch},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    data = buffer.getvalue()
    onnx, _ = convert(data)
    with torch.inference_mode():
        answer = module(torch.full((1, width), 0.5))[0].tolist()
    for mode in ("drain", "inline"):
        _release(folder / f"torch-{mode}", data, data, "torch", mode, width, answer)
        _release(folder / f"onnx-{mode}", data, onnx, "onnx", mode, width, answer)
    _release(folder / "torch-bare", data, data, "torch", "drain", width, answer, metrics=False)
    # Last: a folder without it is made anew.
    torch.save(module, folder / EAGER)


def _release(
    folder: Path,
    submitted: bytes,
    program: bytes,
    lane: str,
    mode: str,
    width: int,
    answer: list[float],
    *,
    metrics: bool = True,
) -> None:
    file = "model/model.onnx" if lane == "onnx" else "model/model.pt2"
    (folder / "model").mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(program)
    names = [f"feature_{i}" for i in range(width)]
    settings: dict[str, Any] = {
        "format": 1,
        "model": {
            "name": "bench",
            "version": "1.0.0",
            "framework": "pytorch",
            "description": "",
            "file": file,
            "digest": _digest(submitted),
        },
        "lane": {"name": lane, "digest": _digest(program)},
        "batching": mode,
        "signature": {
            "inputs": [
                {"name": name, "type": "float", "minimum": -10, "maximum": 10000} for name in names
            ],
            "classes": CLASSES,
        },
        "golden_inputs": [
            {
                "name": "the middle",
                "instance": dict.fromkeys(names, 0.5),
                "expected": {
                    "prediction": CLASSES[answer.index(max(answer))],
                    "probabilities": dict(zip(CLASSES, answer, strict=True)),
                    "tolerance": 0.001,
                },
            }
        ],
        "logging": {"level": "warning", "format": "json"},
        "metrics": {"enabled": metrics},
    }
    (folder / "settings.json").write_text(json.dumps(settings))


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    make(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
