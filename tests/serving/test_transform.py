"""A model's own code around it: what is run, what is refused, and what fails for whom."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from live import Model, live

from serving import model, settings, transform
from serving.app import create_app
from serving.errors import InvalidSettings, TamperedModel, UnfitTransform
from serving.lanes.interface import Lane, UnfitModel, ask
from serving.transform import Transform, Transformed

GOOD = """\
import numpy as np
from numpy.typing import NDArray


def preprocess(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / 10


def postprocess(answers: NDArray[np.float32]) -> NDArray[np.float32]:
    return answers[:, ::-1].copy()
"""
HEAD = "import numpy as np\n"


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Transform]:
    def make(text: str) -> Transform:
        path = tmp_path / "transform.py"
        path.write_text(text)
        return transform.load(path, digest_of(text))

    return make


def digest_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def rows(*values: float) -> np.ndarray:
    return np.array([[value] for value in values], np.float32)


def test_rows_go_through_both_functions(load: Callable[[str], Transform]) -> None:
    lane = Transformed(Model(), load(GOOD))
    assert lane.name == "test"
    # The model's probabilities are 1 - x and x, of a tenth, and turned about.
    assert ask(lane, rows(4, 10), 2) == pytest.approx(np.array([[0.4, 0.6], [1, 0]]))


@pytest.mark.parametrize("name", transform.NAMES)
def test_one_of_them_is_enough(load: Callable[[str], Transform], name: str) -> None:
    found = load(f"{HEAD}def {name}(rows: np.ndarray) -> np.ndarray:\n    return rows\n")
    assert (found.preprocess is None) == (name != "preprocess")
    answered = ask(Transformed(Model(), found), rows(0.25), 2)
    assert answered == pytest.approx(np.array([[0.75, 0.25]]))


def test_what_was_asked_stays_as_it_was(load: Callable[[str], Transform]) -> None:
    text = (
        f"{HEAD}def preprocess(rows: np.ndarray) -> np.ndarray:\n    rows += 1\n    return rows\n"
    )
    asked = rows(0.5)
    ask(Transformed(Model(), load(text)), asked, 2)
    assert asked == rows(0.5)


UNFIT = {
    "def preprocess(": "cannot be imported: SyntaxError",
    "import nothing_of_that_name": "cannot be imported: ModuleNotFoundError",
    "raise SystemExit(3)": "cannot be imported: SystemExit: 3",
    "1/0": "cannot be imported: ZeroDivisionError",
    "x = 1": "has neither preprocess nor postprocess",
    "preprocess = 7": "preprocess is no plain function",
    "class preprocess: pass": "preprocess is no plain function",
    "async def preprocess(r: np.ndarray) -> np.ndarray: ...": "no plain function",
    "def preprocess(rows): return rows": "instead of one array",
    "def preprocess(rows: list) -> np.ndarray: ...": "instead of one array",
    "def preprocess(rows: np.ndarray) -> list: ...": "instead of one array",
    "def preprocess(a: np.ndarray, b: np.ndarray) -> np.ndarray: ...": "instead of one array",
    "def preprocess(*a: np.ndarray) -> np.ndarray: ...": "instead of one array",
    "def preprocess() -> np.ndarray: ...": "instead of one array",
    "def preprocess(rows: 'nothing') -> np.ndarray: ...": "types that cannot be read",
}


@pytest.mark.parametrize("text", UNFIT)
def test_what_cannot_serve_is_refused_at_the_start(
    load: Callable[[str], Transform], text: str
) -> None:
    with pytest.raises(UnfitTransform, match=UNFIT[text]):
        load(HEAD + text)


def test_another_file_than_the_release_s_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "transform.py"
    path.write_text("raise SystemExit")
    with pytest.raises(TamperedModel, match="the release names sha256:"):
        transform.load(path, digest_of(GOOD))
    with pytest.raises(TamperedModel, match="cannot be read"):
        transform.load(tmp_path / "absent.py", digest_of(GOOD))


FAILING = {
    "raise KeyError('x')": "KeyError",
    "raise SystemExit(1)": "wants to end the process",
    "return list(rows)": "makes list of 2 rows",
    "return rows[:1]": r"makes \(1, [12]\) of 2 rows",
    "return rows[0]": r"makes \([12],\) of 2 rows",
    "return rows.astype(str) + 'x'": "could not convert",
}


@pytest.mark.parametrize("name", transform.NAMES)
@pytest.mark.parametrize("body", FAILING)
def test_what_it_does_wrong_is_a_failure_of_the_model(
    load: Callable[[str], Transform], name: str, body: str
) -> None:
    text = f"{HEAD}def {name}(rows: np.ndarray) -> np.ndarray:\n    {body}\n"
    with pytest.raises(UnfitModel, match=FAILING[body]):
        ask(Transformed(Model(), load(text)), rows(0.1, 0.2), 2)


def test_another_shape_than_the_classes_is_a_failure(load: Callable[[str], Transform]) -> None:
    text = f"{HEAD}def postprocess(rows: np.ndarray) -> np.ndarray:\n    return rows[:, :1]\n"
    with pytest.raises(UnfitModel, match=r"shape \(2, 1\) instead of \(2, 2\)"):
        ask(Transformed(Model(), load(text)), rows(0.1, 0.2), 2)


PICKY = f"""\
{HEAD}

def preprocess(rows: np.ndarray) -> np.ndarray:
    if (rows[:, 0] == 9999).any():
        raise ValueError("too much")
    return rows
"""


def test_a_transform_that_fails_fails_for_its_own_request_alone(
    served: tuple[settings.Settings, Lane], load: Callable[[str], Transform]
) -> None:
    release, lane = served
    golden = release.golden_inputs[0].instance
    first = release.inputs[0].name
    with live(create_app(release, Transformed(lane, load(PICKY)))) as running:
        statuses = [
            running.ask("/predict", {"instances": [golden | {first: value}]})[0]
            for value in (10.0, 9999.0, 10.0)
        ]
        connection = running.connection()
        connection.request("GET", "/metrics")
        counted = connection.getresponse().read().decode()
        connection.close()
    assert statuses == [200, 500, 200]
    assert "mlifecycle_model_failures_total 1.0" in counted


def test_a_release_s_transform_is_loaded_with_its_model(
    served: tuple[settings.Settings, Lane], tmp_path: Path
) -> None:
    release, _ = served
    path = tmp_path / "transform.py"
    path.write_text(GOOD)
    own = settings.TransformFile(path, digest_of(GOOD))
    lane = model.load(dataclasses.replace(release, transform=own))
    assert isinstance(lane, Transformed)
    assert not isinstance(model.load(release), Transformed)


@pytest.mark.parametrize(
    "value",
    [
        {"file": "../transform.py", "digest": "sha256:" + "0" * 64},
        {"file": "model/transform.py"},
        {"file": "model/transform.py", "digest": "sha256:1"},
        {"file": "model/transform.py", "digest": "sha256:" + "0" * 64, "more": 1},
        "model/transform.py",
    ],
)
def test_settings_of_a_transform_are_read_strictly(tmp_path: Path, value: object) -> None:
    with pytest.raises(InvalidSettings, match=r"settings\.transform"):
        settings._transform(value, tmp_path)
