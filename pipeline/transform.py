"""A model's own code around it: fetched from beside the manifest, and looked at without running it.

The server is what imports it (`serving/transform.py`). Here its text alone is read, so that what
cannot serve is refused before anything is built.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

import anyio.to_thread

from pipeline import digest
from pipeline.errors import InvalidInput, Problem
from pipeline.manifest import Manifest
from pipeline.model_source import beside
from pipeline.program import Transform
from pipeline.state import State, write_atomically

FIELD = "spec.model.transform"
NAMES = ("preprocess", "postprocess")
SIZE_LIMIT = 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class _Wrong(Exception):
    """What the file has instead of what is expected."""

    expected: str
    remedy: str


async def fetch(manifest: Manifest, state: State) -> Transform | None:
    """Bring the file of `spec.model.transform` into the content store; None without one.

    Raises InvalidInput for a file that is not there, that a scanner would not see, or whose
    functions are not as they must be.
    """
    return await anyio.to_thread.run_sync(_fetch, manifest, state)


def _fetch(manifest: Manifest, state: State) -> Transform | None:
    uri = manifest.model.spec.model.transform
    if uri is None:
        return None
    with beside(manifest, FIELD, uri) as stream:
        data = stream.read(SIZE_LIMIT + 1)
    try:
        # A link is left out of the scan, and so would be what it leads to.
        if (manifest.folder.resolve() / uri).resolve() != manifest.folder.resolve() / uri:
            raise _Wrong("a file itself, which scanners read", "It is behind a link; use the file.")
        _check(data)
    except _Wrong as wrong:
        problem = Problem(str(manifest.path), FIELD, uri, wrong.expected, wrong.remedy)
        raise InvalidInput([problem]) from None
    place = state.root / "transforms" / f"{digest.of_bytes(data).removeprefix('sha256:')}.py"
    if not place.is_file() or digest.of_file(place) != digest.of_bytes(data):
        write_atomically(place, data)
    return Transform(place, digest.of_bytes(data))


def _check(data: bytes) -> None:
    if len(data) > SIZE_LIMIT:
        raise _Wrong(f"a file of at most {SIZE_LIMIT} bytes", "Take the data out of the code.")
    try:
        tree = ast.parse(data)
    # A NUL is a ValueError, and too deep a nesting either of the last two.
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else error
        raise _Wrong("Python code", f"It cannot be parsed ({where}).") from None
    functions = [each for each in tree.body if _name(each) in NAMES]
    if not functions:
        raise _Wrong(f"a file that defines {' or '.join(NAMES)}", "Define one at its top level.")
    for function in functions:
        _check_one(function)


def _name(node: ast.stmt) -> str:
    known = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return node.name if isinstance(node, known) else ""


def _check_one(node: ast.stmt) -> None:
    expected = f"{_name(node)}(rows: NDArray[np.float32]) -> NDArray[np.float32], a plain function"
    remedy = f"See line {node.lineno} of the file."
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        raise _Wrong(expected, remedy)
    given = node.args
    others = [*given.posonlyargs, *given.kwonlyargs, given.vararg, given.kwarg]
    if len(given.args) != 1 or any(others) or given.defaults:
        raise _Wrong(expected, remedy)
    if given.args[0].annotation is None or node.returns is None:
        raise _Wrong(f"{expected} with its types", remedy)
