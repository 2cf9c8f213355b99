"""Which lane a release gets, decided by the real converter on the example."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from pipeline import conversion, digest, model_source
from pipeline.conversion import Chosen
from pipeline.errors import EnvironmentFailed, InvalidInput
from pipeline.manifest import Manifest
from pipeline.program import Lane
from pipeline.runtimes.host import Host
from pipeline.runtimes.interface import Invocation, Outcome
from pipeline.state import State

EXAMPLES = Path(__file__).parents[2] / "examples" / "valid"
ROWS = "fraud-detector/holdout.csv"

Choose = Callable[..., Chosen]


class Here:
    """A builder whose converter is this environment's."""

    def __init__(self) -> None:
        self.calls = 0

    async def converted(self, call: Invocation, progress: Any) -> Outcome:
        self.calls += 1
        return await Host().run(dataclasses.replace(call, command=sys.executable))


@pytest.fixture(scope="module")
def here() -> Here:
    return Here()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    """One for all tests: a conversion takes seconds."""
    return State(tmp_path_factory.mktemp("state"))


@pytest.fixture
def choose(state: State, here: Here, told: Any) -> Choose:
    def call(manifest: Manifest, builder: Any = here, at: State = state) -> Chosen:
        async def chosen() -> Chosen:
            model = await model_source.fetch(manifest, at)
            return await conversion.choose(builder, at, manifest, model, None, told)

        return anyio.run(chosen)

    return call


@pytest.fixture
def asked(submit: Callable[..., Manifest], tmp_path: Path) -> Callable[..., Manifest]:
    """The example with another `spec.inference`, and its held-out rows."""

    def make(**inference: Any) -> Manifest:
        manifest = submit(inference=inference)
        if not (manifest.folder / ROWS).exists():
            shutil.copy(EXAMPLES / ROWS, manifest.folder / ROWS)
        return manifest

    return make


def test_torch_is_what_a_manifest_gets_that_says_nothing(
    choose: Choose, submit: Callable[..., Manifest]
) -> None:
    class Never:
        async def converted(self, call: Invocation, progress: Any) -> Outcome:
            raise AssertionError("nothing was to be converted")

    manifest = submit()
    program = choose(manifest, Never()).program
    assert program is not None
    assert (program.lane, program.digest) == (Lane.TORCH, program.model_digest)
    assert conversion.lanes(manifest) == (Lane.TORCH,)


def test_onnx_is_converted_compared_and_kept(
    choose: Choose, asked: Callable[..., Manifest], here: Here, state: State
) -> None:
    manifest = asked(lane="onnx", agreement={"held_out": ROWS})
    chosen = choose(manifest)
    program = chosen.program
    assert program is not None
    assert (program.lane, program.file) == (Lane.ONNX, "model/model.onnx")
    assert program.digest == digest.of_file(program.path) != program.model_digest
    assert "on 4 golden inputs" in program.chosen
    assert "on 2500 held-out rows; 1e-05 is the tolerance" in program.chosen
    assert chosen.document["compared"]["held_out"]["rows"] == 2500
    before = here.calls
    assert choose(manifest) == chosen
    assert here.calls == before
    program.path.chmod(0o644)
    program.path.write_bytes(b"another")
    again = choose(manifest).program
    assert here.calls == before + 1
    assert again is not None
    assert digest.of_file(again.path) == again.digest == program.digest


def test_auto_takes_onnx_where_the_two_agree(
    choose: Choose, asked: Callable[..., Manifest]
) -> None:
    manifest = asked(lane="auto", agreement={"held_out": ROWS})
    program = choose(manifest).program
    assert program is not None
    assert program.lane is Lane.ONNX
    assert conversion.lanes(manifest) == (Lane.TORCH, Lane.ONNX)


def test_auto_takes_torch_where_they_do_not_and_says_why(
    choose: Choose, asked: Callable[..., Manifest]
) -> None:
    manifest = asked(lane="auto", agreement={"held_out": ROWS, "tolerance": 1e-12})
    chosen = choose(manifest)
    assert chosen.program is not None
    assert chosen.program.lane is Lane.TORCH
    assert "golden inputs a probability differs by up to" in chosen.program.chosen
    assert "1e-12 is the tolerance" in chosen.program.chosen


def test_onnx_is_refused_where_they_do_not(choose: Choose, asked: Callable[..., Manifest]) -> None:
    chosen = choose(asked(lane="onnx", agreement={"held_out": ROWS, "tolerance": 1e-12}))
    assert chosen.program is None
    assert "1e-12 is the tolerance" in chosen.refused


def test_a_model_without_a_form_in_onnx_is_torch_s_or_refused(
    choose: Choose, asked: Callable[..., Manifest], tmp_path: Path
) -> None:
    class Cannot:
        async def converted(self, call: Invocation, progress: Any) -> Outcome:
            report = b'{"converted": false, "reason": "it has no form"}'
            return Outcome(0, "", "", {"converted/report.json": report})

    apart = State(tmp_path / "apart")
    auto = choose(asked(lane="auto", agreement={"held_out": ROWS}), Cannot(), apart).program
    assert auto is not None
    assert (auto.lane, auto.chosen) == (Lane.TORCH, "it has no form")
    onnx = choose(asked(lane="onnx", agreement={"held_out": ROWS}), Cannot(), apart)
    assert (onnx.program, onnx.refused) == (None, "it has no form")


def test_a_converter_that_breaks_is_no_lane(
    choose: Choose, asked: Callable[..., Manifest], tmp_path: Path
) -> None:
    class Broken:
        async def converted(self, call: Invocation, progress: Any) -> Outcome:
            return Outcome(1, "", "ModuleNotFoundError: No module named 'onnx'")

    with pytest.raises(EnvironmentFailed, match="No module named 'onnx'"):
        choose(asked(lane="auto", agreement={"held_out": ROWS}), Broken(), State(tmp_path / "s"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"amount\n1\n", "line 1 has no column 'amount_to_average'"),
    ],
)
def test_held_out_rows_that_cannot_be_read_are_named(
    choose: Choose, asked: Callable[..., Manifest], content: bytes | None, says: str
) -> None:
    manifest = asked(lane="auto", agreement={"held_out": "rows.csv"})
    if content is not None:
        (manifest.folder / "rows.csv").write_bytes(content)
    with pytest.raises(InvalidInput) as refused:
        choose(manifest)
    (problem,) = refused.value.problems
    assert problem.path == "spec.inference.agreement.held_out"
    assert says in str(problem)


def test_held_out_rows_may_not_lie_elsewhere(
    choose: Choose, asked: Callable[..., Manifest], tmp_path: Path
) -> None:
    manifest = asked(lane="auto", agreement={"held_out": "rows.csv"})
    (tmp_path / "secret.csv").write_text("secret")
    (manifest.folder / "rows.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(InvalidInput, match="a link that leads out of the folder"):
        choose(manifest)
