"""A model answers as its signature promises, or is said to be unfit."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from serving import golden, model, settings
from serving.errors import UnfitModel
from serving.lanes.interface import Lane, Rows, ask

RELEASE = "sha256:" + "a" * 64

Make = Callable[[Any], settings.Settings]


class Sum(torch.nn.Module):
    """Scores by the sum of a row, through `head`."""

    def __init__(self, head: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.head = head

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        total = rows.sum(dim=1, keepdim=True)
        return self.head(torch.cat([total, -total], dim=1))


def rows(*values: list[float]) -> Rows:
    return np.array(values, np.float32)


def softmax(scores: torch.Tensor) -> torch.Tensor:
    return torch.softmax(scores, dim=1)


@pytest.fixture
def release_of(make_release: Callable[..., Path]) -> Make:
    """Settings of a release whose model is a module exported here."""

    def make(module: torch.nn.Module) -> settings.Settings:
        batch = torch.export.Dim("batch", max=4096)
        program = torch.export.export(module, (torch.rand(4, 9),), dynamic_shapes=({0: batch},))
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
        return settings.load(make_release(data=buffer.getvalue()), RELEASE)

    return make


def test_the_example_answers_any_number_of_rows(
    served: tuple[settings.Settings, Lane],
) -> None:
    release, loaded = served
    row = [float(v) for v in release.golden_inputs[1].instance.values()]
    [single] = loaded.predict(rows(row))
    many = loaded.predict(rows(*[row] * 1000))
    assert many.shape == (1000, 2)
    assert many[999] == pytest.approx(single, abs=1e-6)
    assert single[1] == pytest.approx(0.9033, abs=0.001)


def test_logits_are_no_probabilities(release_of: Make) -> None:
    release = release_of(Sum(lambda scores: scores * 1.0))
    assert "not a probability" in golden.failures(release, model.load(release))[0]


def test_the_wrong_number_of_classes_is_found(release_of: Make) -> None:
    release = release_of(Sum(lambda scores: softmax(scores)[:, :1]))
    loaded = model.load(release)
    with pytest.raises(UnfitModel, match=r"shape \(1, 1\) instead of \(1, 2\)"):
        ask(loaded, rows([0.0] * 9), 2)
    assert "shape" in golden.failures(release, loaded)[0]


def test_an_answer_that_is_not_finite_is_found(release_of: Make) -> None:
    release = release_of(Sum(lambda scores: softmax(scores.log())))
    assert "not a probability" in golden.failures(release, model.load(release))[0]


def test_a_failing_operator_is_an_unfit_model(release_of: Make) -> None:
    table = torch.nn.Embedding(3, 2)
    loaded = model.load(release_of(Sum(lambda s: softmax(s + table(s[:, 0].to(torch.int64))))))
    with pytest.raises(UnfitModel, match="fails on valid rows"):
        ask(loaded, rows([100.0] * 9), 2)


def test_a_model_that_torch_cannot_build_is_unfit(
    make_release: Callable[..., Path], model_bytes: bytes
) -> None:
    from archives import PROGRAM, edit, packed, unpacked

    entries = unpacked(model_bytes)
    edit(entries, PROGRAM, lambda d: d["graph_module"]["graph"]["nodes"].clear())
    with pytest.raises(UnfitModel, match="torch cannot load the model"):
        model.load(settings.load(make_release(data=packed(entries)), RELEASE))


def test_golden_inputs_pass_and_fail_by_name(
    served: tuple[settings.Settings, Lane],
) -> None:
    release, loaded = served
    assert golden.failures(release, loaded) == ()
    first, second, *_ = release.golden_inputs
    assert first.probabilities is not None
    wrong = (
        replace(first, prediction="fraud"),
        replace(first, name="off", probabilities={"fraud": first.probabilities["fraud"] + 0.01}),
        replace(first, name="class", probabilities={"theft": 0.5}),
        replace(first, name="range", instance={**first.instance, "hour": 24}),
        replace(first, name="nan", tolerance=float("nan")),
        second,
    )
    failures = golden.failures(replace(release, golden_inputs=wrong), loaded)
    assert len(failures) == 5
    for failure, name in zip(failures, [first.name, "off", "class", "range", "nan"], strict=True):
        assert repr(name) in failure
