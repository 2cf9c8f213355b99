"""An exported program written as ONNX.

torch is given the archive that `serving.archive` rebuilt, never the submitted file. What comes out
holds operators of ONNX's own two sets and plain tensors inside the one file: no functions, no
subgraph of unknown operators, no data beside it, nothing about the machine that wrote it. The same
program gives the same bytes.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import torch

from serving import archive
from serving.lanes.interface import first_line

OPSET = 20
INPUT, OUTPUT = "rows", "probabilities"
# The names of ONNX's own operators; a model of others would need code that no server has.
_DOMAINS = frozenset({"", "ai.onnx"})


class Unconvertible(Exception):
    """The model has no form in ONNX; the message says what is in the way."""


def convert(data: bytes) -> tuple[bytes, Any]:
    """The ONNX file of a model file's content, and the model as torch runs it.

    Raises UnsafeArchive and Unconvertible.
    """
    safe = archive.rebuild(data)
    logging.disable(logging.WARNING)  # the exporter tells of its own progress
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(safe))
            written: Any = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                external_data=False,
                verbose=False,
                optimize=True,
            )
            model = written.model_proto
    except Exception as error:  # whatever torch and its exporter raise on what they cannot write
        raise Unconvertible(f"torch cannot write it as ONNX: {first_line(error)}") from error
    return _bare(model), program.module()


def _bare(model: Any) -> bytes:
    """The file without what says where it came from; raises Unconvertible for what cannot run."""
    for graph in _graphs(model.graph):
        for node in graph.node:
            if node.domain not in _DOMAINS:
                raise Unconvertible(f"it needs the operator {node.domain}::{node.op_type}")
            node.ClearField("doc_string")
            node.ClearField("metadata_props")
        for value in (*graph.input, *graph.output, *graph.value_info):
            value.ClearField("doc_string")
            value.ClearField("metadata_props")
        for tensor in graph.initializer:
            if tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data:
                raise Unconvertible(f"the tensor {tensor.name} lies outside of the file")
            tensor.ClearField("doc_string")
            tensor.ClearField("metadata_props")
        graph.ClearField("doc_string")
        graph.ClearField("metadata_props")
    if model.functions:
        raise Unconvertible(f"it holds functions of its own, such as {model.functions[0].name}")
    if len(model.graph.input) != 1 or len(model.graph.output) != 1:
        raise Unconvertible("a model takes one tensor of rows and returns one of probabilities")
    for name in ("doc_string", "metadata_props", "producer_version"):
        model.ClearField(name)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _graphs(graph: Any) -> Iterator[Any]:
    """The graph and those inside of its operators' attributes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
            for inner in attribute.graphs:
                yield from _graphs(inner)
