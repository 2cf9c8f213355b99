"""POST /v2/models/…/infer: tensors as JSON or as bytes behind it, both ways."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from serving.batching import Answers, Batcher, Entry
from serving.http.body import demand_json
from serving.http.exchange import JSON, Exchange
from serving.http.problems import Refused, short
from serving.http.v2 import INPUT, PREDICTION, PROBABILITIES
from serving.limits import Limits
from serving.settings import Settings
from serving.signature import Signature

_HEADER_LENGTH = b"inference-header-content-length"
_BINARY = b"application/octet-stream"
# How the protocol's kinds of numbers are laid out: all little-endian.
DATATYPES: dict[str, np.dtype[Any]] = {
    "FP64": np.dtype("<f8"),
    "FP32": np.dtype("<f4"),
    "FP16": np.dtype("<f2"),
    "INT64": np.dtype("<i8"),
    "INT32": np.dtype("<i4"),
    "INT16": np.dtype("<i2"),
    "INT8": np.dtype("<i1"),
    "UINT64": np.dtype("<u8"),
    "UINT32": np.dtype("<u4"),
    "UINT16": np.dtype("<u2"),
    "UINT8": np.dtype("<u1"),
}
_REQUEST = frozenset({"id", "parameters", "inputs", "outputs"})
_TENSOR = frozenset({"name", "shape", "datatype", "parameters", "data"})
_OUTPUT = frozenset({"name", "parameters"})
_NUMBERS = frozenset({int, float})


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the caller wants of the answer: `outputs` are the tensors with whether in binary."""

    id: str | None
    outputs: tuple[tuple[str, bool], ...]


class Infer:
    """The route."""

    def __init__(
        self, settings: Settings, signature: Signature, batcher: Batcher, limits: Limits
    ) -> None:
        self._settings = settings
        self._signature = signature
        self._batcher = batcher
        self._limits = limits
        self._classes = [orjson.dumps(name) for name in settings.classes]
        self._elements = [
            struct.pack("<I", len(name)) + name
            for name in (text.encode() for text in settings.classes)
        ]
        self._model = {"model_name": settings.name, "model_version": settings.version}

    def __call__(self, exchange: Exchange) -> None:
        """Read the tensor and put its rows into the queue."""
        try:
            self._take(exchange)
        except Refused as refused:
            exchange.refuse(refused)

    def _take(self, exchange: Exchange) -> None:
        demand_json(exchange, _BINARY)
        document, binary = _parted(exchange)
        asked, tensor = _request(document)
        rows = self._rows(tensor, binary)
        exchange.instances = len(rows)

        def finish(exchange: Exchange, answers: Answers, begin: int, end: int) -> None:
            self._answer(exchange, asked, answers, begin, end)

        self._batcher.submit(
            Entry(exchange, rows, len(rows), finish, lambda exchange: self._misfit(exchange, rows))
        )

    def _rows(self, tensor: Mapping[str, Any], binary: memoryview) -> NDArray[np.float64]:
        """The input tensor as n x features."""
        width, most = self._signature.width, self._limits.max_instances
        name, datatype, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
        if name != INPUT:
            raise _wrong(f"The input tensor is named {short(name)!r} instead of {INPUT!r}.")
        if not isinstance(datatype, str) or datatype not in DATATYPES:
            raise _wrong(f"The datatype is {short(datatype)!r} instead of a kind of number (FP32).")
        kind = DATATYPES[datatype]
        if (
            not isinstance(shape, list)
            or len(shape) != 2
            or any(type(size) is not int for size in shape)
            or shape[1] != width
            or shape[0] < 1
        ):
            raise _wrong(f"The shape is {short(shape)} instead of [n, {width}].")
        if shape[0] > most:
            raise _wrong(f"The shape is {short(shape)}: a request may have {most} instances.")
        size = _parameters(tensor).get("binary_data_size")
        if size is not None:
            if "data" in tensor:
                raise _wrong("The tensor has data in JSON and in binary.")
            if type(size) is not int or size != len(binary):
                raise _wrong(
                    f"binary_data_size is {short(size)}, and {len(binary)} bytes follow the JSON."
                )
            if size != shape[0] * width * kind.itemsize:
                raise _wrong(f"{size} bytes are no {datatype} of the shape {shape}.")
            return np.frombuffer(binary, kind).reshape(shape).astype(np.float64)
        if len(binary):
            raise _wrong(f"{len(binary)} bytes follow the JSON, and no tensor claims them.")
        values = _flat(tensor.get("data"), shape)
        if len(values) != shape[0] * width or not _NUMBERS.issuperset(map(type, values)):
            raise _wrong(f"The data are not {shape[0] * width} numbers, as the shape says.")
        if kind.kind != "f" and any(type(value) is float for value in values):
            raise _wrong(f"The data hold fractions, which are no {datatype}.")
        try:
            return np.array(values, np.float64).reshape(shape)
        except OverflowError:
            raise _wrong("The data hold a number that is too large.") from None

    def _misfit(self, exchange: Exchange, rows: NDArray[np.float64]) -> None:
        # Numbers that JSON cannot write are named by their text.
        faults = self._signature.explain(rows.tolist(), self._limits.max_instances)
        message = f"{len(faults)} values do not fit the model's signature."
        exchange.refuse(Refused(422, "invalid_instances", message, faults))

    def _answer(
        self, exchange: Exchange, asked: _Asked, answers: Answers, begin: int, end: int
    ) -> None:
        tensors = []
        binary = []
        for name, as_bytes in asked.outputs:
            if name == PROBABILITIES:
                values = np.ascontiguousarray(answers.probabilities[begin:end])
                tensor = b'{"name":"%b","datatype":"FP32","shape":[%d,%d],' % (
                    name.encode(),
                    *values.shape,
                )
                data = (
                    values.tobytes()
                    if as_bytes
                    else orjson.dumps(values.reshape(-1), option=orjson.OPT_SERIALIZE_NUMPY)
                )
            else:
                winners = answers.winners[begin:end]
                tensor = b'{"name":"%b","datatype":"BYTES","shape":[%d],' % (
                    name.encode(),
                    len(winners),
                )
                data = (
                    b"".join([self._elements[winner] for winner in winners])
                    if as_bytes
                    else b"[%b]" % b",".join([self._classes[winner] for winner in winners])
                )
            if as_bytes:
                binary.append(data)
                tensors.append(tensor + b'"parameters":{"binary_data_size":%d}}' % len(data))
            else:
                tensors.append(tensor + b'"data":%b}' % data)
        told = self._model if asked.id is None else {**self._model, "id": asked.id}
        head = orjson.dumps(told)[:-1] + b',"outputs":[%b]}' % b",".join(tensors)
        if binary:
            length = (_HEADER_LENGTH, str(len(head)).encode())
            exchange.reply(200, head + b"".join(binary), _BINARY, [length])
        else:
            exchange.reply(200, head, JSON)


def _parted(exchange: Exchange) -> tuple[Any, memoryview]:
    """The JSON document and the bytes behind it."""
    body = memoryview(exchange.body)
    length = exchange.header(_HEADER_LENGTH)
    size = len(body)
    if length is not None:
        if not length.isdigit() or int(length[:12]) > size or len(length) > 12:
            raise _wrong("Inference-Header-Content-Length is not a length within the body.")
        size = int(length)
    try:
        return orjson.loads(body[:size]), body[size:]
    except orjson.JSONDecodeError as error:
        raise Refused(400, "invalid_json", f"The body is no JSON: {error}.") from None


def _request(document: Any) -> tuple[_Asked, Mapping[str, Any]]:
    """What is asked, and the one input tensor."""
    request = _object(document, "The body", _REQUEST)
    identifier = request.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise _wrong(f"The id is {short(identifier)!r} instead of a text.")
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise _wrong(f"inputs is not a list of the one tensor {INPUT!r}.")
    binary = _flag(_parameters(request), "binary_data_output", default=False)
    outputs = request.get("outputs")
    if outputs is None:
        wanted = ((PROBABILITIES, binary), (PREDICTION, binary))
        return _Asked(identifier, wanted), _object(inputs[0], "The input", _TENSOR)
    if not isinstance(outputs, list) or not 0 < len(outputs) <= 2:
        raise _wrong("outputs is not a list of one or two tensors.")
    found: dict[str, bool] = {}
    for output in outputs:
        fields = _object(output, "An output", _OUTPUT)
        name = fields.get("name")
        if name not in (PROBABILITIES, PREDICTION) or name in found:
            raise _wrong(f"There is no output {short(name)!r}, or it is asked for twice.")
        parameters = _parameters(fields)
        if parameters.get("classification"):
            raise _wrong("The parameter classification is not known here.")
        found[name] = _flag(parameters, "binary_data", default=binary)
    return _Asked(identifier, tuple(found.items())), _object(inputs[0], "The input", _TENSOR)


def _object(value: Any, what: str, known: frozenset[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(f"{what} is {short(value)!r} instead of an object.")
    if unknown := value.keys() - known:
        raise _wrong(f"{what} holds the unknown {short(min(unknown))!r}.")
    return value


def _parameters(owner: Mapping[str, Any]) -> Mapping[str, Any]:
    found = owner.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _wrong(f"parameters is {short(found)!r} instead of an object.")
    if any(name.startswith("shared_memory") for name in found):
        raise _wrong("Shared memory is not known here.")
    return found


def _flag(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise _wrong(f"The parameter {name} is {short(value)!r} instead of true or false.")
    return value


def _flat(data: Any, shape: list[int]) -> list[Any]:
    """The data of a tensor, which may be nested as its shape is or flat."""
    if not isinstance(data, list):
        raise _wrong(f"The data are {short(data)!r} instead of an array.")
    if data and isinstance(data[0], list):
        if len(data) != shape[0] or any(
            not isinstance(row, list) or len(row) != shape[1] for row in data
        ):
            raise _wrong(f"The data are not nested as the shape {shape} says.")
        return [value for row in data for value in row]
    return data


def _wrong(message: str) -> Refused:
    return Refused(400, "invalid_tensor", message)
