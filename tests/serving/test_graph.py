"""The module that is built from a program computes what torch's own loader would have."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from serving import archive
from serving.errors import UnfitModel
from serving.lanes import graph, pytorch


class Function(nn.Module):
    """Any function of rows (n x 9), with weights to take part."""

    def __init__(self, function: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(9, 9)
        self.table = nn.Embedding(16, 3)
        self.lstm = nn.LSTM(3, 4, batch_first=True, bidirectional=True)
        self.heads = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.BatchNorm1d(9)
        self.conv = nn.Conv2d(1, 2, 2)
        self.register_buffer("kept", torch.arange(9.0))
        self.register_buffer("passing", torch.rand(9, 9).t(), persistent=False)
        self.register_buffer("halves", torch.rand(9).half())
        self.register_buffer("mask", torch.arange(9) % 2 == 0)
        self.tied = self.linear.weight
        self.function = function

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.function(self, rows)


def lstm(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    answers, (last, _) = m.lstm(x.reshape(-1, 3, 3))
    return torch.cat([answers.flatten(1), last.transpose(0, 1).flatten(1)], dim=1)


def attention(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    tokens = x[:, :8].reshape(-1, 2, 4)
    return m.heads(tokens, tokens, tokens, need_weights=False)[0].flatten(1)


def pieces(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    first, _, third = x.split([2, 3, 4], dim=1)
    largest, where = x.topk(2, dim=1)
    low, _ = x.min(dim=1, keepdim=True)
    return torch.cat([first, third, largest, where.to(x.dtype), low, *x.chunk(3, 1)], dim=1)


MODULES: dict[str, Callable[[nn.Module, torch.Tensor], torch.Tensor]] = {
    "linear": lambda m, x: torch.softmax(m.linear(x), dim=1),
    "tied weights": lambda m, x: x @ m.tied + m.linear(x),
    "buffers": lambda m, x: (x + m.kept) @ m.passing + m.halves.float(),
    "a constant": lambda m, x: x * torch.tensor([2.0]) + torch.tensor(3),
    "batch norm": lambda m, x: m.norm(x),
    "convolution": lambda m, x: m.conv(x.reshape(-1, 1, 3, 3)).flatten(1),
    "embedding": lambda m, x: m.table(x.abs().to(torch.int64).clamp(0, 15)).flatten(1),
    "lstm": lstm,
    "attention": attention,
    "pieces": pieces,
    "sizes": lambda m, x: x.view(x.shape[0] * 3, 3).sum(1).view(x.shape[0], 3) / x.shape[0],
    "made as large": lambda m, x: x + torch.zeros(x.shape[0], 9) + torch.full_like(x, 0.5),
    "infinity": lambda m, x: x.masked_fill(m.mask, float("-inf")).softmax(1),
    "types": lambda m, x: (x.double().to(torch.float32) > 0).float().clone(),
    "channels last": lambda m, x: (
        x.reshape(-1, 1, 3, 3).contiguous(memory_format=torch.channels_last).flatten(1)
    ),
    "optional index": lambda m, x: x[:, [0, 2, 4]],
    "variance": lambda m, x: torch.cat(torch.var_mean(x, dim=1, keepdim=True), dim=1),
    "einsum": lambda m, x: torch.einsum("bi,ij->bj", x, m.linear.weight),
    "where": lambda m, x: torch.where(x > 0, x, 0.1 * x),
    "unbound": lambda m, x: torch.stack(x.unbind(1)[::2], dim=1),
}


def exported(module: nn.Module) -> bytes:
    batch = torch.export.Dim("batch", max=4096)
    program = torch.export.export(module.eval(), (torch.rand(4, 9),), dynamic_shapes=({0: batch},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return archive.rebuild(buffer.getvalue())


@pytest.mark.parametrize("name", MODULES)
def test_it_answers_as_torchs_own_loader(name: str) -> None:
    torch.manual_seed(1)
    safe = exported(Function(MODULES[name]))
    ours, theirs = graph.build(archive.read(safe)), torch.export.load(io.BytesIO(safe)).module()
    for count in (1, 4, 33):
        rows = torch.randn(count, 9) * 4
        with torch.inference_mode():
            torch.testing.assert_close(ours(rows), theirs(rows), rtol=0, atol=1e-6)


def test_a_tensor_of_no_elements_is_one() -> None:
    class Nothing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("none", torch.empty(0, 9))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.none, rows], dim=0)

    rows = torch.rand(3, 9)
    assert graph.build(archive.read(exported(Nothing())))(rows).equal(rows)


def test_torchs_compiler_is_not_imported(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_bytes(exported(Function(MODULES["linear"])))
    code = (
        "import sys, numpy, pathlib\n"
        "from serving.lanes import pytorch\n"
        "lane = pytorch.load(pathlib.Path(sys.argv[1]).read_bytes(), 1)\n"
        "assert lane.predict(numpy.ones((2, 9), numpy.float32)).shape == (2, 9)\n"
        "found = {'sympy', 'torch._dynamo', 'torch._inductor'} & set(sys.modules)\n"
        "sys.exit(f'imported: {found}' if found else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "argument", [{"as_graph": {}}, {"as_scalar_type": 9}, {"as_tensor": {"name": "nowhere"}}]
)
def test_what_it_does_not_know_is_an_unfit_model(
    argument: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = archive.read(exported(Function(MODULES["linear"])))
    parts.program["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"] = argument
    # As though `read` had let it pass.
    monkeypatch.setattr(archive, "read", lambda data: parts)
    with pytest.raises(UnfitModel, match="torch cannot load the model"):
        pytorch.load(b"", 1)
