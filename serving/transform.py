"""A model's own code around it: `preprocess` before the model, `postprocess` after.

    def preprocess(rows: NDArray[np.float32]) -> NDArray[np.float32]
    def postprocess(answers: NDArray[np.float32]) -> NDArray[np.float32]

Rows (n x features) are checked by the signature before `preprocess` sees them; what it gives
(n x whatever the model takes) goes to the model, whose answers `postprocess` makes the
probabilities (n x classes) of. Either may be absent. Nothing of this is imported without such a
file.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.util
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import numpy as np

from serving.errors import TamperedModel, UnfitTransform
from serving.lanes.interface import Lane, Rows, first_line

NAMES = ("preprocess", "postprocess")

Step = Callable[[Rows], Any]


@dataclass(frozen=True, slots=True)
class Transform:
    """The functions of a transform file; at least one is there."""

    preprocess: Step | None
    postprocess: Step | None


class Transformed:
    """A lane between its model's own functions.

    What they raise is the failure of the rows that they were given, as the model's is.
    """

    def __init__(self, lane: Lane, transform: Transform) -> None:
        self._lane = lane
        self._transform = transform

    @property
    def name(self) -> str:
        """That of the lane which computes."""
        return self._lane.name

    def predict(self, rows: Rows) -> Rows:
        """What the functions and the model make of `rows`, which stay as they are."""
        steps = self._transform
        given = rows if steps.preprocess is None else _run("preprocess", steps.preprocess, rows)
        answers = self._lane.predict(given)
        if steps.postprocess is not None:
            answers = _run("postprocess", steps.postprocess, answers)
        return answers


class _Loader(importlib.abc.SourceLoader):
    """Imports a module from bytes that were read before; there is no bytecode of it."""

    def __init__(self, path: str, data: bytes) -> None:
        self._path = path
        self._data = data

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str | bytes) -> bytes:
        return self._data


def load(path: Path, digest: str) -> Transform:
    """The transform in the file `path`, if it has this digest.

    Raises TamperedModel, and UnfitTransform for a file that cannot be imported or whose functions
    are not as they must be. The bytes whose digest was compared are those that are run.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TamperedModel(f"the transform cannot be read: {error.strerror}") from error
    found = "sha256:" + hashlib.sha256(data).hexdigest()
    if found != digest:
        raise TamperedModel(f"the transform is {found}, and the release names {digest}")
    loader = _Loader(str(path), data)
    spec = importlib.util.spec_from_loader("transform", loader, origin=str(path))
    module = (
        types.ModuleType("transform") if spec is None else importlib.util.module_from_spec(spec)
    )
    try:
        loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UnfitTransform(f"the transform cannot be imported: {_said(error)}") from error
    functions = {name: _function(module, name) for name in NAMES}
    if not any(functions.values()):
        raise UnfitTransform(f"the transform has neither {' nor '.join(NAMES)}")
    return Transform(**functions)


def _function(module: types.ModuleType, name: str) -> Step | None:
    function = getattr(module, name, None)
    if function is None:
        return None
    if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
        raise UnfitTransform(f"the transform's {name} is no plain function")
    try:
        hints = get_type_hints(function)
    except Exception as error:
        message = f"the transform's {name} has types that cannot be read: {_said(error)}"
        raise UnfitTransform(message) from error
    parameters = list(inspect.signature(function).parameters.values())
    returned = hints.pop("return", None)
    wanted = [*hints.values(), returned]
    if (
        len(parameters) != 1
        or parameters[0].kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD
        or len(wanted) != 2
        or not all(np.ndarray in (hint, get_origin(hint)) for hint in wanted)
    ):
        raise UnfitTransform(
            f"the transform's {name} takes {inspect.signature(function)} instead of one array, "
            "and gives one: (rows: NDArray[np.float32]) -> NDArray[np.float32]"
        )
    step: Step = function
    return step


def _run(name: str, step: Step, rows: Rows) -> Rows:
    try:
        # A copy: rows are counted for drift afterwards, and a function may write into its own.
        found = step(rows.copy())
    except SystemExit as error:
        # It would end the server with all of its requests.
        raise RuntimeError(f"{name} wants to end the process: {_said(error)}") from error
    if not isinstance(found, np.ndarray) or found.ndim != 2 or len(found) != len(rows):
        shape = found.shape if isinstance(found, np.ndarray) else type(found).__name__
        raise ValueError(f"{name} makes {shape} of {len(rows)} rows instead of an array with them")
    return np.ascontiguousarray(found, dtype=np.float32)


def _said(error: BaseException) -> str:
    return first_line(error) if isinstance(error, Exception) else f"{type(error).__name__}: {error}"
