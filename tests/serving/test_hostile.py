"""Nothing hostile in a model file runs, and everything that torch would run is refused.

The attacks are real: each is an archive as `torch.export.save` writes it, changed in one place so
that opening it, or calling the model, creates a file. The test asks for the refusal and for the
absence of that file; for those that torch's own loader falls for, another test shows that it does.
"""

from __future__ import annotations

import builtins
import copy
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from archives import CONSTANTS, PROGRAM, SAMPLES, WEIGHTS, Entries, edit, packed, unpacked

from serving import model, settings
from serving.errors import UnsafeArchive

RELEASE = "sha256:" + "a" * 64

Attack = Callable[[Entries, Path], None]


class Creates:
    """Unpickling it creates the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.open, (str(self.path), "w")


def hostile_pickle(path: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Creates(path), buffer)
    return buffer.getvalue()


def code(path: Path) -> str:
    return f"__import__('builtins').open({str(path)!r}, 'w')"


def pickled_weight(entries: Entries, path: Path) -> None:
    entries["model/data/weights/weight_0"] = hostile_pickle(path)
    edit(entries, WEIGHTS, lambda d: d["config"]["layers.0.weight"].update(use_pickle=True))


def constant(entries: Entries, file: str, content: bytes) -> None:
    entries[f"model/data/constants/{file}"] = content
    payload = {"path_name": file, "is_param": False, "use_pickle": True, "tensor_meta": None}
    edit(entries, CONSTANTS, lambda d: d["config"].update(c=payload))


def pickled_constant(entries: Entries, path: Path) -> None:
    constant(entries, "tensor_0", hostile_pickle(path))


def opaque_constant(entries: Entries, path: Path) -> None:
    constant(entries, "opaque_obj_0", pickle.dumps(Creates(path)))


def script_object(entries: Entries, path: Path) -> None:
    constant(entries, "custom_obj_0", hostile_pickle(path))


def sample_inputs(entries: Entries, path: Path) -> None:
    entries[SAMPLES] = hostile_pickle(path)


def bare_pickle_as_sample_inputs(entries: Entries, path: Path) -> None:
    entries[SAMPLES] = pickle.dumps(Creates(path))


def legacy_weights(entries: Entries, path: Path) -> None:
    entries["model/data/weights/model.pt"] = hostile_pickle(path)


def legacy_constants(entries: Entries, path: Path) -> None:
    entries["model/data/constants/model.pt"] = hostile_pickle(path)


def legacy_archive(entries: Entries, path: Path) -> None:
    program = entries[PROGRAM]
    entries.clear()
    entries["version"] = b"8.20"
    entries["serialized_exported_program.json"] = program
    for part in ("state_dict", "constants", "example_inputs"):
        entries[f"serialized_{part}.pt"] = hostile_pickle(path)


def compiled_library(entries: Entries, path: Path) -> None:
    entries["model/data/aotinductor/model/model.so"] = b"\x7fELF"


def guards(entries: Entries, path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(((torch.ones(4, 9),), {}), buffer)
    entries[SAMPLES] = buffer.getvalue()  # torch compiles guards only beside sample inputs
    edit(entries, PROGRAM, lambda d: d["guards_code"].append(code(path)))


def size_expression(entries: Entries, path: Path) -> None:
    def change(document: Any) -> None:
        rows = document["graph_module"]["graph"]["tensor_values"]["rows"]
        rows["sizes"][0]["as_expr"]["expr_str"] = code(path)

    edit(entries, PROGRAM, change)


def in_program(change: Callable[[Any, Path], None]) -> Attack:
    return lambda entries, path: edit(entries, PROGRAM, lambda d: change(d["graph_module"], path))


def renamed_input(module: Any, path: Path) -> None:
    """The placeholder's name becomes a parameter in the generated source: its default is run."""
    name = f"rows={code(path)}"
    text = json.dumps(module).replace('"name": "rows"', f'"name": {json.dumps(name)}')
    text = text.replace('"rows": {', f"{json.dumps(name)}: {{")
    module.clear()
    module.update(json.loads(text))


def argument_name(module: Any, path: Path) -> None:
    call = module["module_call_graph"][0]["signature"]
    call["forward_arg_names"] = [f"rows={code(path)}"]


def target(name: str) -> Callable[[Any, Path], None]:
    def change(module: Any, path: Path) -> None:
        module["graph"]["nodes"][0].update(
            target=name,
            inputs=[
                {"name": "filename", "arg": {"as_string": str(path)}, "kind": 1},
                {"name": "shared", "arg": {"as_bool": True}, "kind": 1},
                {"name": "size", "arg": {"as_int": 8}, "kind": 1},
            ],
        )

    return change


def first_argument(argument: Any) -> Callable[[Any, Path], None]:
    def change(module: Any, path: Path) -> None:
        module["graph"]["nodes"][0]["inputs"][0]["arg"] = argument

    return change


def subgraph(module: Any, path: Path) -> None:
    graph = copy.deepcopy(module["graph"])
    module["graph"]["nodes"][0]["inputs"][0]["arg"] = {"as_graph": {"name": "g", "graph": graph}}


def tree(module: Any, path: Path) -> None:
    call = module["module_call_graph"][0]["signature"]
    spec = {"type": "collections.OrderedDict", "context": "[]", "children_spec": []}
    call["in_spec"] = json.dumps([1, spec])


def parameter_path(module: Any, path: Path) -> None:
    module["signature"]["input_specs"][0]["parameter"]["parameter_name"] = "__class__.x"


def mutated_buffer(module: Any, path: Path) -> None:
    spec = {"buffer_mutation": {"arg": {"name": "softmax"}, "buffer_name": "mean"}}
    module["signature"]["output_specs"].append(spec)


def custom_object_input(module: Any, path: Path) -> None:
    spec = {"arg": {"name": "rows", "class_fqn": "x"}, "custom_obj_name": "x"}
    module["signature"]["input_specs"][0] = {"custom_obj": spec}


# Those that torch.export.load, or the model that it returns, runs today.
RUN_BY_TORCH: dict[str, Attack] = {
    "pickled weight": pickled_weight,
    "pickled constant": pickled_constant,
    "opaque constant": opaque_constant,
    "sample inputs": sample_inputs,
    "bare pickle as sample inputs": bare_pickle_as_sample_inputs,
    "legacy weights": legacy_weights,
    "legacy constants": legacy_constants,
    "legacy archive": legacy_archive,
    "guards": guards,
    "size expression": size_expression,
    "placeholder name": in_program(renamed_input),
    "from_file": in_program(target("torch.ops.aten.from_file.default")),
}
REFUSED_TOO: dict[str, Attack] = {
    "script object": script_object,
    "argument name": in_program(argument_name),
    "compiled library": compiled_library,
    "torch function": in_program(target("torch.save")),
    "deep torch function": in_program(target("torch.utils.cpp_extension.os.system")),
    "custom operator": in_program(target("torch.ops.mine.op.default")),
    "higher order operator": in_program(target("torch.ops.higher_order.cond")),
    "extension operator": in_program(target("#ext:op")),
    "operator as a list": in_program(lambda m, _: m["graph"]["nodes"][0].update(target=["x"])),
    "subgraph": in_program(subgraph),
    "operator argument": in_program(first_argument({"as_operator": "torch.save"})),
    "object argument": in_program(first_argument({"as_custom_obj": {"name": "c"}})),
    "long text argument": in_program(first_argument({"as_string": "x" * 300})),
    "tensor on another device": in_program(first_argument({"as_device": {"type": "cuda"}})),
    "tree of another type": in_program(tree),
    "parameter path": in_program(parameter_path),
    "buffer mutation": in_program(mutated_buffer),
    "custom object input": in_program(custom_object_input),
}


@pytest.mark.parametrize("attack", [*RUN_BY_TORCH, *REFUSED_TOO])
def test_hostile_archives_are_refused_and_run_nothing(
    attack: str, model_bytes: bytes, tmp_path: Path, make_release: Callable[..., Path]
) -> None:
    entries, mark = unpacked(model_bytes), tmp_path / "mark"
    {**RUN_BY_TORCH, **REFUSED_TOO}[attack](entries, mark)
    loaded = settings.load(make_release(data=packed(entries)), RELEASE)
    if attack == "guards":  # the one that is left out instead of refused: no model needs them
        model.load(loaded).predict(np.zeros((1, 9), np.float32))
    else:
        with pytest.raises(UnsafeArchive):
            model.load(loaded)
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("attack", RUN_BY_TORCH)
def test_torch_itself_runs_these(attack: str, model_bytes: bytes, tmp_path: Path) -> None:
    entries, mark = unpacked(model_bytes), tmp_path / "mark"
    RUN_BY_TORCH[attack](entries, mark)
    try:
        module = torch.export.load(io.BytesIO(packed(entries))).module()
        module.forward(torch.ones(2, 9))
    except Exception as error:
        print(error)  # most attacks leave no working model behind; the file is what counts
    assert mark.exists()
