"""From a program that `archive.read` has let pass to a module that runs it.

`torch.export.load` does that too, after it has imported torch's compiler, which takes nearly as
long as torch itself and is not needed to run anything. The program as `read` gives it is simple:
named tensors, and calls of known operators in their order. Numbers of types and layouts are those
of torch's export schema (torch/_export/serde/schema.py).
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from serving.archive import Parts

TYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
LAYOUTS = {7: torch.strided}


def build(parts: Parts) -> torch.fx.GraphModule:
    """The module of a model: one tensor in, one out.

    Raises KeyError, ValueError or what torch raises on a program that cannot be built.
    """
    return _Builder(parts).module()


class _Builder:
    """One program on its way to a module."""

    def __init__(self, parts: Parts) -> None:
        self._program = parts.program["graph_module"]
        self._tensors = {
            **_tensors(parts.constants, "data/constants/", parts.files),
            **_tensors(parts.weights, "data/weights/", parts.files),
        }
        self._root = torch.nn.Module()
        self._graph = torch.fx.Graph()
        self._known: dict[str, Any] = {}

    def module(self) -> torch.fx.GraphModule:
        for spec in self._program["signature"]["input_specs"]:
            self._input(spec)
        for node in self._program["graph"]["nodes"]:
            self._call(node)
        [output] = self._program["signature"]["output_specs"]
        self._graph.output(self._known[output["user_output"]["arg"]["as_tensor"]["name"]])
        return torch.fx.GraphModule(self._root, self._graph)

    def _input(self, spec: Mapping[str, Any]) -> None:
        [(kind, inner)] = spec.items()
        if kind == "user_input":
            self._known[inner["arg"]["as_tensor"]["name"]] = self._graph.placeholder("rows")
            return
        # Names of our own: the program's have dots, and mean nothing here.
        own = f"tensor_{len(self._known)}"
        self._root.register_buffer(own, self._tensors[inner[f"{kind}_name"]])
        self._known[inner["arg"]["name"]] = self._graph.get_attr(own)

    def _call(self, node: Mapping[str, Any]) -> None:
        target = _target(node["target"])
        names = [given["name"] for given in node["inputs"]]
        values = [self._value(given["arg"]) for given in node["inputs"]]
        if not isinstance(target, torch._ops.OpOverload):
            self._take(node["outputs"], self._graph.call_function(target, tuple(values)))
            return
        given = dict(zip(names, values, strict=True))
        positional: list[Any] = []
        for argument in target._schema.arguments:
            # By position as far as there is no gap: some parameters have names like `from`.
            if argument.kwarg_only or argument.name not in given:
                break
            positional.append(given.pop(argument.name))
        self._take(node["outputs"], self._graph.call_function(target, tuple(positional), given))

    def _take(self, outputs: list[Mapping[str, Any]], result: torch.fx.Node) -> None:
        """Remember by what names the program calls what the call returns."""
        if len(outputs) == 1:
            [(kind, inner)] = outputs[0].items()
            if kind != "as_tensors":
                self._name(kind, inner, result)
                return
            outputs = [{"as_tensor": one} for one in inner]
        for position, output in enumerate(outputs):
            [(kind, inner)] = output.items()
            item = self._graph.call_function(operator.getitem, (result, position))
            self._name(kind, inner, item)

    def _name(self, kind: str, inner: Any, node: torch.fx.Node) -> None:
        if kind == "as_tensor":
            self._known[inner["name"]] = node
        elif kind in {"as_sym_int", "as_sym_float", "as_sym_bool"}:
            self._known[inner["as_name"]] = node
        elif kind != "as_none":
            raise ValueError(f"an operator returns {kind}")

    def _value(self, argument: Mapping[str, Any]) -> Any:
        [(kind, inner)] = argument.items()
        if kind.endswith("s") and isinstance(inner, list):
            return [self._single(kind[:-1], value) for value in inner]
        return self._single(kind, inner)

    def _single(self, kind: str, inner: Any) -> Any:
        match kind:
            case "as_none":
                return None
            case "as_tensor":
                return self._known[inner["name"]]
            case "as_optional_tensor":
                return self._value(inner)
            case "as_sym_int" | "as_sym_float" | "as_sym_bool":
                return self._known[inner["as_name"]] if "as_name" in inner else self._value(inner)
            case "as_float":
                return float(inner)  # infinities are texts
            case "as_int" | "as_bool" | "as_string":
                return inner
            case "as_scalar_type":
                return TYPES[inner]
            case "as_memory_format":
                return FORMATS[inner]
            case "as_layout":
                return LAYOUTS[inner]
            case "as_device":
                return torch.device("cpu")
        raise ValueError(f"an operator takes {kind}")


def _target(name: str) -> Any:
    """What a node calls. `operators.allowed` has seen that it is one of these."""
    match name.split("."):
        case ["torch", "ops", "aten", packet, overload]:
            return getattr(getattr(torch.ops.aten, packet), overload)
        case ["_operator", function]:
            return getattr(operator, function)
        case ["torch", function]:
            return getattr(torch, function)
    raise ValueError(f"there is no operator {name}")


def _tensors(
    document: Mapping[str, Any], folder: str, files: Mapping[str, bytes]
) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for name, payload in document["config"].items():
        content = files[folder + payload["path_name"]]
        meta = payload["tensor_meta"]
        sizes = [size["as_int"] for size in meta["sizes"]]
        strides = [stride["as_int"] for stride in meta["strides"]]
        # Copied once, into memory that torch has aligned as its fast paths want.
        memory = torch.empty(len(content), dtype=torch.uint8)
        memory.numpy()[:] = np.frombuffer(content, dtype=np.uint8)
        flat = memory.view(TYPES[meta["dtype"]])
        found[name] = flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"])
    return found
