"""Only operators that compute may be called."""

from __future__ import annotations

import pytest
import torch

from serving import operators


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.linear.default",
        "torch.ops.aten.add.Tensor",
        "torch.ops.aten.relu_.default",
        "torch.ops.aten._to_copy.default",
        "_operator.mul",
        "torch.sym_max",
    ],
)
def test_computing_operators_pass(target: str) -> None:
    assert operators.allowed(target)


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.set_.source_Storage",
        "torch.ops.aten.resize_.default",
        "torch.ops.aten.as_strided.default",
        "torch.ops.aten.record_stream.default",
        "torch.ops.aten.add.out",
        "torch.ops.aten.sum.IntList_out",
        "torch.ops.aten.linear",
        "torch.ops.aten.linear.default.x",
        "torch.ops.aten.linear.de fault",
        "torch.ops.aten.linear.",
        "torch.ops.mine.linear.default",
        "torch.ops.load_library",
        "torch.load",
        "torch.hub.load",
        "torch.serialization.os.system",
        "_operator.attrgetter",
        "_operator.methodcaller",
        "_operator.call",
        "math.factorial",
        "builtins.eval",
        "#x:y",
        "",
        None,
        1,
        ["torch", "ops", "aten", "linear", "default"],
    ],
)
def test_other_targets_do_not(target: object) -> None:
    assert not operators.allowed(target)


def test_every_name_is_an_operator_of_torch() -> None:
    for names in operators.ATEN.values():
        for name in names.split():
            assert hasattr(torch.ops.aten, name), name
