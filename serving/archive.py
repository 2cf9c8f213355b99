"""A model file made safe before torch opens it.

`torch.export.load` reads far more than tensors: pickles (weights marked `use_pickle`, sample
inputs, custom objects, the whole of the older formats), compiled libraries, and text that it runs
as Python (see `program`). It says itself: never load data from an untrusted source. So torch is
never given the file. `rebuild` reads the file with checks at every step and makes a new archive
that holds plain tensors and a program of known operators: a difference between two readers of the
same file cannot matter, as the lane and the converter read only what was written here.

What this cannot stop: a model that computes nonsense (golden inputs are for that), or one that
wants more memory or time than it should (limits on the process are for that).
"""

from __future__ import annotations

import io
import json
import pickletools
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

from serving import program
from serving.errors import UnsafeArchive
from serving.plain import parse, shown

MAX_ENTRIES = 10_000
MAX_DOCUMENT = 64 * 2**20  # bytes of one JSON document

_ROOT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_PROGRAM = "models/model.json"
_WEIGHTS = "data/weights/model_weights_config.json"
_CONSTANTS = "data/constants/model_constants_config.json"
_TENSOR = re.compile(r"data/(weights/weight|constants/tensor)_[0-9]{1,9}")
_SAMPLE_INPUTS = "data/sample_inputs/model.pt"
_FORMAT = {"archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little"}
_IGNORED = frozenset({".data/version", ".data/serialization_id", ".format_version"})
_ENCRYPTED = 0x1

# What torch.save writes for tensors in tuples and dictionaries.
_PICKLED = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_tensor_v2",
        "torch Size",
        *("torch BFloat16Storage", "torch BoolStorage", "torch ByteStorage", "torch CharStorage"),
        *("torch DoubleStorage", "torch FloatStorage", "torch HalfStorage", "torch IntStorage"),
        *("torch LongStorage", "torch ShortStorage"),
    }
)

# What zipfile raises for the many ways in which a file can be broken.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Parts:
    """A model, checked: its program, and what its weights and constants are called.

    The documents are JSON, as torch's export schema has them. `files` maps the path below the
    archive's top folder to a tensor's bytes.
    """

    program: dict[str, Any]
    weights: dict[str, Any]
    constants: dict[str, Any]
    files: dict[str, bytes]


def read(data: bytes) -> Parts:
    """What the `torch.export` archive `data` holds of a model; raises UnsafeArchive."""
    entries = _entries(data)
    for name, expected in _FORMAT.items():
        if name in entries and entries[name] != expected:
            raise UnsafeArchive(f"{name} is {shown(entries[name])} instead of {expected!r}")
    _refuse_code(entries.get(_SAMPLE_INPUTS, b""), _SAMPLE_INPUTS)

    documents = {}
    for name in (_PROGRAM, _WEIGHTS, _CONSTANTS):
        if name not in entries:
            raise UnsafeArchive(
                f"the archive lacks {name}; write it with torch.export.save of torch 2.9 or later"
            )
        if len(entries[name]) > MAX_DOCUMENT:
            raise UnsafeArchive(f"{name} has {len(entries[name])} bytes, {MAX_DOCUMENT} may be")
        documents[name] = parse(entries[name], name)
    files = {name: content for name, content in entries.items() if _TENSOR.fullmatch(name)}

    def payloads(name: str) -> dict[str, Any]:
        folder = name.rsplit("/", 1)[0] + "/"
        sizes = {k.removeprefix(folder): len(v) for k, v in files.items() if k.startswith(folder)}
        return program.payloads(documents[name], name, sizes)

    return Parts(
        program=program.rebuild(documents[_PROGRAM]),
        weights=payloads(_WEIGHTS),
        constants=payloads(_CONSTANTS),
        files=files,
    )


def rebuild(data: bytes) -> bytes:
    """A `torch.export` archive with the model of `data` and nothing else; raises UnsafeArchive."""
    parts = read(data)
    documents = {_PROGRAM: parts.program, _WEIGHTS: parts.weights, _CONSTANTS: parts.constants}
    written = {name: json.dumps(document).encode() for name, document in documents.items()}
    return _written(
        {**_FORMAT, ".data/version": b"6", **parts.files, **written, _SAMPLE_INPUTS: b""}
    )


def _entries(data: bytes) -> dict[str, bytes]:
    """The archive's files by their path below its one top folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check(infos, len(data))
            found = {info.filename: archive.read(info) for info in infos}
    except _BROKEN as error:
        raise UnsafeArchive(f"the file is no intact archive: {error}") from error
    roots = {name.split("/", 1)[0] for name in found}
    if len(roots) != 1 or not _ROOT.fullmatch(root := roots.pop()):
        raise UnsafeArchive("the archive does not have one top folder; torch.export.save writes so")
    entries = {name.removeprefix(f"{root}/"): content for name, content in found.items()}
    for name in entries:
        known = name in {_PROGRAM, _WEIGHTS, _CONSTANTS, _SAMPLE_INPUTS} | _FORMAT.keys() | _IGNORED
        if not known and not _TENSOR.fullmatch(name):
            raise UnsafeArchive(f"the archive holds {shown(name)}, which no plain model needs")
    return entries


def _check(infos: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse before anything is unpacked. torch stores its entries uncompressed: so nothing can
    unpack to more than the file's own size, unless entries lie about it or overlap."""
    if len(infos) > MAX_ENTRIES:
        raise UnsafeArchive(f"the archive has {len(infos)} entries, {MAX_ENTRIES} may be")
    if len({info.filename for info in infos}) != len(infos):
        raise UnsafeArchive("the archive has two entries of one name")
    for info in infos:
        name = shown(info.filename)
        if ".." in info.filename.split("/") or info.filename.startswith("/"):
            raise UnsafeArchive(f"the entry {name} leads out of the archive")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise UnsafeArchive(f"the entry {name} is compressed; torch.export.save never does so")
        if info.flag_bits & _ENCRYPTED:
            raise UnsafeArchive(f"the entry {name} is encrypted")
    if sum(info.file_size for info in infos) > size:
        raise UnsafeArchive("the archive's entries overlap or claim more than the file holds")


def _refuse_code(data: bytes, place: str) -> None:
    """Refuse sample inputs that call anything when unpickled.

    They are left out of what torch reads; but a file that carries code is a file to keep away from.
    """
    if not data:
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check(infos, len(data))
            pickles = [archive.read(i) for i in infos if i.filename.endswith("/data.pkl")]
        for content in pickles:
            strings: list[str] = []
            for opcode, argument, _ in pickletools.genops(content):
                called = str(argument)
                if opcode.name == "STACK_GLOBAL":
                    called = " ".join(strings[-2:])
                if opcode.name in {"GLOBAL", "STACK_GLOBAL", "INST"} and called not in _PICKLED:
                    raise UnsafeArchive(f"{place} calls {shown(called)} when it is unpickled")
                if isinstance(argument, str):
                    strings.append(argument)
    except _BROKEN as error:
        raise UnsafeArchive(f"{place} is no archive of tensors: {error}") from error


def _written(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(f"model/{name}"), content)
    return buffer.getvalue()
