"""The invalid examples are refused for what their first comment says, and for nothing else."""

from pathlib import Path

import pytest

from pipeline.errors import InvalidInput
from pipeline.manifest import load

FOLDER = Path(__file__).parents[3] / "examples" / "invalid"
REFUSED = {
    "schema-alias-bomb": ({"spec.bomb", "spec.bomb[9][0]"}, "alias"),
    "schema-duplicate-key": ({"spec.metrics.accuracy"}, "given again"),
    "schema-not-a-number": ({"spec.metrics.accuracy"}, ".nan"),
    "schema-out-of-range": ({"spec.metrics.accuracy"}, "1.2"),
    "schema-tag": ({"spec.model.experiment_id"}, "os.system"),
    "schema-two-documents": ({""}, "another document"),
    "schema-unknown-key": ({"spec.data_sources[0].approved"}, "unknown key"),
    "schema-wrong-type": ({"spec.metrics.accuracy"}, '"0.9608"'),
}


def test_every_example_is_tested():
    assert {path.stem for path in FOLDER.glob("schema-*.yaml")} == set(REFUSED)


@pytest.mark.parametrize("name", REFUSED)
def test_an_invalid_example(name):
    places, value = REFUSED[name]
    path = FOLDER / f"{name}.yaml"
    with pytest.raises(InvalidInput) as refused:
        load(path)
    problems = refused.value.problems
    marked = {
        number
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if line.endswith("# refused")
    }
    assert marked
    assert {problem.line for problem in problems} == marked
    assert places <= {problem.path for problem in problems}
    assert any(value in problem.value for problem in problems)
    assert all(problem.file == str(path) for problem in problems)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_valid_but_for_the_marked_lines(name, tmp_path):
    """So that each example shows one thing."""
    lines = (FOLDER / f"{name}.yaml").read_text("utf-8").splitlines()
    if name == "schema-two-documents":
        kept = lines[: next(i for i, line in enumerate(lines) if line.startswith("---"))]
    else:
        kept = [line for line in lines if not line.endswith("# refused")]
    (tmp_path / "m.yaml").write_text("\n".join(kept) + "\n", encoding="utf-8")
    load(tmp_path / "m.yaml")
