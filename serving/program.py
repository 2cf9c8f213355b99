"""The exported program inside a model archive, rebuilt from its allowed parts.

torch turns this document into Python in several places: symbolic sizes go through `eval`, guards
and graphs become source text and are executed (node, argument and parameter names verbatim),
operator targets are looked up below the `torch` module, tree specifications import enumerations.
So each text in it is code unless proven plain. `rebuild` makes a new document of what is known
and plain, and refuses the rest; nothing is passed on that was not looked at. What a server never
needs (stack traces, guards, module metadata) is left out.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from serving import operators, plain
from serving.errors import UnsafeArchive

# Bytes per element by the schema's number of the type: integers, half, float, double, bool, bfloat.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 12: 1, 13: 2}
_SCHEMA = 8
_LARGEST = 2**40
_ATTRIBUTE = re.compile(r"(?!__)[A-Za-z0-9_]{1,255}(\.(?!__)[A-Za-z0-9_]{1,255}){0,31}")
_SYMBOL = re.compile(r"[su][0-9]{1,4}")
_TEXT = re.compile(r"[A-Za-z0-9_ ,.>-]{0,256}")
_LEAF: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
# One tensor in, one tensor out: ((rows,), {}) -> probabilities
_IN_SPEC = [
    1,
    {
        "type": "builtins.tuple",
        "context": "null",
        "children_spec": [
            {"type": "builtins.tuple", "context": "null", "children_spec": [_LEAF]},
            {"type": "builtins.dict", "context": "[]", "children_spec": []},
        ],
    },
]
_OUT_SPEC = [1, _LEAF]


def rebuild(document: Any) -> dict[str, Any]:
    """The exported program as torch may read it; raises UnsafeArchive."""
    top = plain.fields(
        document,
        "program",
        "graph_module opset_version range_constraints schema_version",
        "verifiers torch_version guards_code",
    )
    version = plain.fields(top["schema_version"], "schema_version", "major minor")
    if version["major"] != _SCHEMA:
        raise UnsafeArchive(
            f"the program has schema version {plain.shown(version['major'])}, known is {_SCHEMA}"
        )
    module = plain.fields(
        top["graph_module"],
        "graph_module",
        "graph signature module_call_graph",
        "metadata treespec_namedtuple_fields",
    )
    return {
        "graph_module": {
            "graph": _graph(module["graph"]),
            "signature": _signature(module["signature"]),
            "module_call_graph": _call_graph(module["module_call_graph"]),
            "metadata": {},
            "treespec_namedtuple_fields": {},
        },
        "opset_version": {
            "aten": plain.integer(plain.fields(top["opset_version"], "opset", "aten")["aten"])
        },
        "range_constraints": plain.mapping(
            top["range_constraints"], "range_constraints", _range, _SYMBOL
        ),
        "schema_version": {"major": _SCHEMA, "minor": plain.integer(version["minor"])},
        "verifiers": ["TRAINING"],
        "torch_version": "",
        "guards_code": [],
    }


def payloads(document: Any, place: str, sizes: Mapping[str, int]) -> dict[str, Any]:
    """The configuration of weights or constants, each one plain bytes of a known size.

    `sizes` gives the bytes of every entry there is, by the name that the configuration uses.
    """

    def payload(value: Any, name: str) -> dict[str, Any]:
        meta = plain.fields(value, name, "path_name is_param use_pickle tensor_meta")
        if meta["use_pickle"] is not False:
            raise UnsafeArchive(f"{name} is stored as a pickle, which can run code")
        file = meta["path_name"]
        if not isinstance(file, str) or file not in sizes:
            raise UnsafeArchive(
                f"{name} names {plain.shown(file)}, which is no tensor of the archive"
            )
        tensor = _tensor(meta["tensor_meta"], name, stored=True)
        _fits(tensor, sizes[file], name)
        return {
            "path_name": file,
            "is_param": plain.boolean(meta["is_param"]),
            "use_pickle": False,
            "tensor_meta": tensor,
        }

    top = plain.fields(document, place, "config")
    return {"config": plain.mapping(top["config"], place, payload, _ATTRIBUTE)}


def _fits(tensor: dict[str, Any], available: int, name: str) -> None:
    """Refuse a tensor that claims more than its bytes: it would be zeros of any size, or worse."""
    sizes = [size["as_int"] for size in tensor["sizes"]]
    strides = [stride["as_int"] for stride in tensor["strides"]]
    count = math.prod(sizes)
    reach = sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    needed = max(count, tensor["storage_offset"]["as_int"] + reach + 1) if count else 0
    if needed * _SIZES[tensor["dtype"]] > available:
        raise UnsafeArchive(f"{name} claims more elements than its {available} bytes hold")


def _graph(value: Any) -> dict[str, Any]:
    graph = plain.fields(
        value,
        "graph",
        "inputs outputs nodes tensor_values sym_int_values sym_bool_values",
        "is_single_tensor_return custom_obj_values sym_float_values",
    )
    if graph.get("custom_obj_values"):
        raise UnsafeArchive("the graph holds custom objects, which have code of their own")
    return {
        "inputs": plain.items(graph["inputs"], "graph.inputs", _argument),
        "outputs": plain.items(graph["outputs"], "graph.outputs", _argument),
        "nodes": plain.items(graph["nodes"], "graph.nodes", _node),
        "tensor_values": plain.mapping(
            graph["tensor_values"], "tensor_values", _tensor, plain.IDENTIFIER
        ),
        "sym_int_values": plain.mapping(
            graph["sym_int_values"], "sym_int", _symbolic, plain.IDENTIFIER
        ),
        "sym_bool_values": plain.mapping(
            graph["sym_bool_values"], "sym_bool", _symbolic, plain.IDENTIFIER
        ),
        "sym_float_values": plain.mapping(
            graph.get("sym_float_values", {}), "sym_float", _symbolic, plain.IDENTIFIER
        ),
        "is_single_tensor_return": plain.boolean(graph.get("is_single_tensor_return", False)),
        "custom_obj_values": {},
    }


def _node(value: Any, place: str) -> dict[str, Any]:
    node = plain.fields(
        value, place, "target inputs outputs metadata", "is_hop_single_tensor_return name"
    )
    if not operators.allowed(node["target"]):
        raise UnsafeArchive(f"{place} calls {plain.shown(node['target'])}, which is not allowed")
    name = node.get("name")
    return {
        "target": node["target"],
        "inputs": plain.items(node["inputs"], f"{place}.inputs", _input),
        "outputs": plain.items(node["outputs"], f"{place}.outputs", _argument),
        "metadata": {},
        "is_hop_single_tensor_return": None,
        "name": None if name is None else plain.name(name, f"{place}.name"),
    }


def _input(value: Any, place: str) -> dict[str, Any]:
    given = plain.fields(value, place, "name arg", "kind")
    kind = given.get("kind")
    return {
        # an operator's own parameter may be called `from` or `input`; torch looks it up
        "name": plain.name(given["name"], f"{place}.name", keywords=True),
        "arg": _argument(given["arg"], place),
        "kind": None if kind is None else plain.integer(kind),
    }


def _argument(value: Any, place: str) -> dict[str, Any]:
    kind, inner = plain.variant(value, place)
    check = _ARGUMENTS.get(kind)
    if check is None:
        raise UnsafeArchive(f"{place} holds {plain.shown(kind)}, which is not allowed")
    return {kind: check(inner, place)}


def _tensor_name(value: Any, place: str) -> dict[str, Any]:
    return {"name": plain.name(plain.fields(value, place, "name")["name"], place)}


def _optional_tensor(value: Any, place: str) -> dict[str, Any]:
    kind, inner = plain.variant(value, place)
    if kind == "as_none":
        return {"as_none": True}
    if kind == "as_tensor":
        return {"as_tensor": _tensor_name(inner, place)}
    raise UnsafeArchive(f"{place} holds {plain.shown(kind)} for a tensor")


def _symbol_or_number(value: Any, place: str) -> dict[str, Any]:
    kind, inner = plain.variant(value, place)
    if kind == "as_name":
        return {kind: plain.name(inner, place)}
    return {kind: plain.number(kind, inner, place)}


def _symbolic(value: Any, place: str) -> dict[str, Any]:
    """A size: a number, or an expression over symbols that torch will evaluate."""
    kind, inner = plain.variant(value, place)
    if kind != "as_expr":
        return {kind: plain.number(kind, inner, place)}
    given = plain.fields(inner, place, "expr_str", "hint")
    hint = given.get("hint")
    if hint is not None:
        name, number = plain.variant(hint, place)
        hint = {name: plain.number(name, number, place)}
    return {kind: {"expr_str": _expression(given["expr_str"], place), "hint": hint}}


def _expression(value: Any, place: str) -> str:
    """Sums and products of numbers and declared symbols; raises UnsafeArchive for any other."""
    if not isinstance(value, str) or len(value) > 500:
        raise UnsafeArchive(f"{place} is no size expression")
    try:
        tree = ast.parse(value, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnsafeArchive(f"{place} is no size expression: {plain.shown(value)}") from error

    def harmless(node: ast.expr) -> bool:
        match node:
            case ast.BinOp(left, ast.Add() | ast.Sub() | ast.Mult(), right):
                return harmless(left) and harmless(right)
            case ast.UnaryOp(ast.USub(), operand):
                return harmless(operand)
            case ast.Constant(int() as number) if not isinstance(number, bool):
                return number <= _LARGEST
            case ast.Call(ast.Name("Symbol"), [ast.Constant(str() as name)], keywords):
                flags = all(
                    k.arg in {"positive", "integer", "nonnegative"}
                    and isinstance(k.value, ast.Constant)
                    and isinstance(k.value.value, bool)
                    for k in keywords
                )
                return _SYMBOL.fullmatch(name) is not None and flags
            case ast.Call(ast.Name("Integer"), [number], []):
                return not isinstance(number, ast.Call) and harmless(number)
            case ast.Call(
                ast.Name("Add" | "Mul" | "FloorDiv" | "Mod" | "Max" | "Min"), arguments, []
            ):
                return all(harmless(argument) for argument in arguments)
        return False

    if not harmless(tree.body):
        raise UnsafeArchive(f"{place} is more than a size: {plain.shown(value)}")
    return value


def _tensor(value: Any, place: str, *, stored: bool = False) -> dict[str, Any]:
    """A tensor's type and shape; a stored one's are plain numbers."""
    meta = plain.fields(
        value, place, "dtype sizes requires_grad device strides storage_offset layout"
    )
    if meta["dtype"] not in _SIZES or isinstance(meta["dtype"], bool):
        raise UnsafeArchive(f"{place} has the element type {plain.shown(meta['dtype'])}")
    size = _whole if stored else _symbolic
    tensor = {
        "dtype": meta["dtype"],
        "sizes": plain.items(meta["sizes"], f"{place}.sizes", size),
        "requires_grad": plain.boolean(meta["requires_grad"]),
        "device": _device(meta["device"], place),
        "strides": plain.items(meta["strides"], f"{place}.strides", size),
        "storage_offset": size(meta["storage_offset"], place),
        "layout": plain.integer(meta["layout"]),
    }
    if len(tensor["sizes"]) != len(tensor["strides"]):
        raise UnsafeArchive(f"{place} has {len(tensor['sizes'])} sizes and other strides")
    return tensor


def _whole(value: Any, place: str) -> dict[str, Any]:
    return {"as_int": plain.integer(plain.fields(value, place, "as_int")["as_int"], place)}


def _device(value: Any, place: str) -> dict[str, Any]:
    device = plain.fields(value, place, "type", "index")
    if device["type"] != "cpu":
        raise UnsafeArchive(
            f"{place} lies on {plain.shown(device['type'])}; export the model on the cpu"
        )
    return {"type": "cpu", "index": None}


def _range(value: Any, place: str) -> dict[str, Any]:
    limits = plain.fields(value, place, "min_val max_val")
    return {
        k: None if v is None else plain.integer(v, place, signed=True) for k, v in limits.items()
    }


def _signature(value: Any) -> dict[str, Any]:
    signature = plain.fields(value, "signature", "input_specs output_specs")
    inputs = plain.items(signature["input_specs"], "input_specs", _input_spec)
    outputs = plain.items(signature["output_specs"], "output_specs", _output_spec)
    if sum("user_input" in spec for spec in inputs) != 1 or len(outputs) != 1:
        raise UnsafeArchive("a model takes one tensor of rows and returns one of probabilities")
    return {"input_specs": inputs, "output_specs": outputs}


def _input_spec(value: Any, place: str) -> dict[str, Any]:
    kind, inner = plain.variant(value, place)
    if kind == "user_input":
        return {kind: _user_tensor(inner, place)}
    if kind not in {"parameter", "buffer", "tensor_constant"}:
        raise UnsafeArchive(f"{place} is a {plain.shown(kind)}, which is not allowed")
    target = f"{kind}_name"
    spec = plain.fields(inner, place, f"arg {target}", "persistent")
    clean: dict[str, Any] = {
        "arg": _tensor_name(spec["arg"], place),
        target: plain.matching(spec[target], place, _ATTRIBUTE),
    }
    if "persistent" in spec:
        clean["persistent"] = plain.boolean(spec["persistent"])
    return {kind: clean}


def _output_spec(value: Any, place: str) -> dict[str, Any]:
    kind, inner = plain.variant(value, place)
    if kind != "user_output":
        raise UnsafeArchive(
            f"{place} is a {plain.shown(kind)}: a served model must not change itself"
        )
    return {kind: _user_tensor(inner, place)}


def _user_tensor(value: Any, place: str) -> dict[str, Any]:
    argument = plain.fields(plain.fields(value, place, "arg")["arg"], place, "as_tensor")
    return {"arg": {"as_tensor": _tensor_name(argument["as_tensor"], place)}}


def _call_graph(value: Any) -> list[dict[str, Any]]:
    """How the model is called. Only the outermost call counts; inner modules are left out."""
    for entry in value if isinstance(value, list) else []:
        call = plain.fields(entry, "module_call_graph", "fqn", "signature")
        if call["fqn"] == "" and call.get("signature") is not None:
            break
    else:
        raise UnsafeArchive("the program does not say how it is called")
    signature = plain.fields(
        call["signature"], "call", "inputs outputs in_spec out_spec", "forward_arg_names"
    )
    for key, expected in (("in_spec", _IN_SPEC), ("out_spec", _OUT_SPEC)):
        spec = signature[key]
        if not isinstance(spec, str) or plain.parse(spec.encode(), key) != expected:
            raise UnsafeArchive("a model takes one tensor of rows and returns one of probabilities")
    names = signature.get("forward_arg_names")
    return [
        {
            "fqn": "",
            "signature": {
                "inputs": [],
                "outputs": [],
                "in_spec": json.dumps(_IN_SPEC),
                "out_spec": json.dumps(_OUT_SPEC),
                "forward_arg_names": None
                if names is None
                else plain.items(names, "call", plain.name),
            },
        }
    ]


_ARGUMENTS: dict[str, Callable[[Any, str], Any]] = {
    "as_none": plain.boolean,
    "as_tensor": _tensor_name,
    "as_tensors": plain.each(_tensor_name),
    "as_optional_tensor": _optional_tensor,
    "as_optional_tensors": plain.each(_optional_tensor),
    "as_int": plain.signed,
    "as_ints": plain.each(plain.signed),
    "as_float": plain.real,
    "as_floats": plain.each(plain.real),
    "as_bool": plain.boolean,
    "as_bools": plain.each(plain.boolean),
    "as_string": lambda value, place: plain.matching(value, place, _TEXT),
    "as_sym_int": _symbol_or_number,
    "as_sym_ints": plain.each(_symbol_or_number),
    "as_sym_float": _symbol_or_number,
    "as_sym_floats": plain.each(_symbol_or_number),
    "as_sym_bool": _symbol_or_number,
    "as_sym_bools": plain.each(_symbol_or_number),
    "as_scalar_type": plain.integer,
    "as_memory_format": plain.integer,
    "as_layout": plain.integer,
    "as_device": _device,
}
