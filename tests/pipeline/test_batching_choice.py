"""How a server asks its model: what decides it, and what happens when nothing can."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import batching
from pipeline.batching import Batching
from pipeline.errors import EnvironmentFailed
from pipeline.manifest import Manifest
from pipeline.runtimes.interface import Outcome

FOUND = {
    "mode": "drain", "batch": 64, "row_seconds": 31e-6, "batch_seconds": 124e-6, "gain": 16.0,
    "worth": 1.2,
}  # fmt: skip


def test_a_manifest_may_state_it(submit: Callable[..., Manifest]) -> None:
    assert batching.stated(submit()) is None
    stated = batching.stated(submit(inference={"batching": "inline"}))
    assert stated == Batching("inline", "as the manifest says")


def test_the_last_line_is_the_measurement() -> None:
    found = batching.measured(Outcome(0, f"a library says hello\n{json.dumps(FOUND)}\n", ""))
    assert found.mode == "drain"
    assert found.decided == (
        "a row alone takes 31 us, 64 together 124 us: 16 times cheaper, 1.2 is worth it"
    )


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(1, json.dumps(FOUND), "serving: the model file cannot be read"),
        Outcome(0, json.dumps(FOUND), "", timed_out=True),
        Outcome(0, "", ""),
        Outcome(0, "{", ""),
        Outcome(0, "[]", ""),
        Outcome(0, json.dumps(FOUND | {"mode": "sometimes"}), ""),
        Outcome(0, json.dumps(FOUND | {"row_seconds": 0}), ""),
        Outcome(0, json.dumps(FOUND | {"batch_seconds": float("nan")}), ""),
        Outcome(0, json.dumps({k: v for k, v in FOUND.items() if k != "gain"}), ""),
    ],
)
def test_no_measurement_is_no_mode(outcome: Outcome) -> None:
    with pytest.raises(EnvironmentFailed, match=r"spec\.inference\.batching"):
        batching.measured(outcome)


def test_what_was_measured_is_found_again(tmp_path: Path) -> None:
    place = tmp_path / "cache" / "batching"
    assert batching.kept(place) is None
    batching.keep(place, Batching("drain", "so it is"))
    assert batching.kept(place) == Batching("drain", "so it is")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"mode": "x", "decided": ""}', '{"mode": 1}'])
def test_what_was_kept_and_is_broken_is_not_believed(content: Any, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text(content)
    assert batching.kept(tmp_path / "kept") is None


def test_a_model_with_its_own_code_is_not_measured(submit: Callable[..., Manifest]) -> None:
    """That would run the code before anybody has scanned it."""
    own = {"transform": "transform.py"}
    assert batching.stated(submit(model=own)) == batching.UNMEASURED
    stated = batching.stated(submit(model=own, inference={"batching": "inline"}))
    assert stated == Batching("inline", "as the manifest says")
