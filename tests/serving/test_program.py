"""The program and the tensors' descriptions: what is not plain does not come through."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from archives import PROGRAM, WEIGHTS, edit, packed, unpacked

from serving import archive
from serving.errors import UnsafeArchive


def test_no_place_in_the_program_passes_a_hostile_text_on(model_bytes: bytes) -> None:
    entries = unpacked(model_bytes)
    document = json.loads(entries[PROGRAM])
    hostile = "x=__import__('os')"
    refused = 0
    for change in every_change(document, hostile):
        changed = copy.deepcopy(document)
        change(changed)
        entries[PROGRAM] = json.dumps(changed).encode()
        try:
            rebuilt = archive.rebuild(packed(entries))
        except UnsafeArchive:
            refused += 1
        else:
            assert b"__import__" not in unpacked(rebuilt)[PROGRAM]
    assert refused > 500


def every_change(value: Any, text: str, path: tuple[Any, ...] = ()) -> list[Callable[[Any], None]]:
    """Functions that each put `text` in one place of the document: for a value, or for a key."""

    def at(document: Any) -> Any:
        for step in path:
            document = document[step]
        return document

    if not isinstance(value, dict | list):
        return []
    changes: list[Callable[[Any], None]] = []
    for key in value if isinstance(value, dict) else range(len(value)):
        changes.append(lambda d, key=key: at(d).__setitem__(key, text))
        if isinstance(value, dict):
            changes.append(lambda d, key=key: at(d).__setitem__(text, at(d).pop(key)))
        changes += every_change(value[key], text, (*path, key))
    return changes


def sizes_of_rows(expression: str) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        rows = document["graph_module"]["graph"]["tensor_values"]["rows"]
        rows["sizes"][0]["as_expr"]["expr_str"] = expression

    return change


@pytest.mark.parametrize(
    "expression",
    [
        "open('x')",
        "Symbol('s10').free_symbols",
        "Symbol('s10', **{})",
        "Symbol(*'s10')",
        "Symbol('open(1)')",
        "FloorDiv(Symbol('s10'), open('x'))",
        "Mul(Integer(4), open('x'))",
        "Integer(Integer(4))",
        "Integer('4')",
        "9**9**9",
        "(lambda: 1)()",
        "[1][0]",
        "f'{1}'",
        "1 if 1 else 2",
        "True",
        "1.5",
        "1" * 400,
        "Symbol",
        "",
        "(" * 200,
        "1\n2",
    ],
)
def test_sizes_are_sums_and_products_of_symbols(expression: str, model_bytes: bytes) -> None:
    entries = unpacked(model_bytes)
    edit(entries, PROGRAM, sizes_of_rows(expression))
    with pytest.raises(UnsafeArchive):
        archive.rebuild(packed(entries))


@pytest.mark.parametrize(
    "expression",
    [
        "7",
        "2*Symbol('s10', positive=True, integer=True) - 1",
        "FloorDiv(u0, 2)",
        "Mul(Integer(4), u0)",
    ],
)
def test_plain_sizes_pass(expression: str, model_bytes: bytes) -> None:
    entries = unpacked(model_bytes)
    expression = expression.replace("u0", "Symbol('u0', integer=True)")
    edit(entries, PROGRAM, sizes_of_rows(expression))
    archive.rebuild(packed(entries))


def payload(**changes: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        document["config"]["layers.0.weight"]["tensor_meta"].update(changes)

    return change


@pytest.mark.parametrize(
    "change",
    [
        payload(sizes=[{"as_int": 32}, {"as_int": 10}]),
        payload(sizes=[{"as_int": 2**40}, {"as_int": 9}], strides=[{"as_int": 0}, {"as_int": 1}]),
        payload(storage_offset={"as_int": 1}),
        payload(storage_offset={"as_int": -1}),
        payload(sizes=[{"as_int": -32}, {"as_int": -9}]),
        payload(strides=[{"as_int": 9}]),
        payload(sizes=[{"as_expr": {"expr_str": "1"}}, {"as_int": 9}]),
        payload(dtype=8),
        payload(dtype=99),
        payload(dtype="7"),
        payload(device={"type": "cuda", "index": 0}),
        lambda d: d["config"]["layers.0.weight"].update(path_name="../../models/model.json"),
        lambda d: d["config"]["layers.0.weight"].update(path_name="weight_99"),
        lambda d: d["config"]["layers.0.weight"].update(path_name=["weight_0"]),
        lambda d: d["config"]["layers.0.weight"].update(use_pickle=0),
        lambda d: d["config"]["layers.0.weight"].update(tensor_meta=None),
        lambda d: d.update(config=[]),
    ],
)
def test_a_tensor_claims_no_more_than_its_bytes(
    change: Callable[[Any], None], model_bytes: bytes
) -> None:
    entries = unpacked(model_bytes)
    edit(entries, WEIGHTS, change)
    with pytest.raises(UnsafeArchive):
        archive.rebuild(packed(entries))


def test_an_empty_file_is_no_tensor_of_any_size(model_bytes: bytes) -> None:
    entries = unpacked(model_bytes)
    entries["model/data/weights/weight_0"] = b""
    with pytest.raises(UnsafeArchive, match="claims more"):
        archive.rebuild(packed(entries))
