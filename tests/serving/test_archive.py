"""The file itself: damage, tricks with the archive format, and what comes out of a good one."""

from __future__ import annotations

import copy
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from archives import PROGRAM, SAMPLES, WEIGHTS, Entries, packed, unpacked
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from serving import archive, model, settings
from serving.errors import TamperedModel, UnsafeArchive

RELEASE = "sha256:" + "a" * 64


def bomb(entries: Entries) -> bytes:
    entries["model/data/weights/weight_0"] = bytes(50_000_000)
    return packed(entries, zipfile.ZIP_DEFLATED)


def overlapping(entries: Entries) -> bytes:
    """Many directory entries that all point to the same large content."""
    entries["model/data/weights/weight_0"] = bytes(100_000)
    buffer = io.BytesIO(packed(entries))
    with zipfile.ZipFile(buffer, "a") as opened:
        first = opened.getinfo("model/data/weights/weight_0")
        for index in range(100, 200):
            twin = copy.copy(first)
            twin.filename = f"model/data/weights/weight_{index}"
            opened.filelist.append(twin)
            opened.NameToInfo[twin.filename] = twin
        opened._didModify = True
    return buffer.getvalue()


def twice(entries: Entries) -> bytes:
    buffer = io.BytesIO(packed(entries))
    with zipfile.ZipFile(buffer, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr(PROGRAM, b"{}")
    return buffer.getvalue()


def with_entry(name: str, content: bytes = b"x") -> Callable[[Entries], bytes]:
    return lambda entries: packed({**entries, name: content})


def encrypted(entries: Entries) -> bytes:
    data = bytearray(packed(entries))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


def wrong_checksum(entries: Entries) -> bytes:
    data = packed(entries)
    at = data.index(entries["model/data/weights/weight_0"])
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "make",
    [
        bomb,
        overlapping,
        twice,
        encrypted,
        wrong_checksum,
        with_entry("../../etc/cron.d/x"),
        with_entry("/etc/cron.d/x"),
        with_entry("other/models/model.json"),
        with_entry("model/data/weights/../../../x"),
        with_entry("model/models/second.json", b"{}"),
        with_entry("model/extra/notes.txt"),
        with_entry("model/data/weights/weight_0.so"),
        with_entry("model/archive_version", b"1"),
        with_entry("model/byteorder", b"big"),
        with_entry(PROGRAM, b"{"),
        with_entry(PROGRAM, b"[" * 100_000),
        with_entry(PROGRAM, b"\xff\xfe{}"),
        with_entry(PROGRAM, b"null"),
        with_entry(SAMPLES, b"no archive"),
        lambda entries: packed({k: v for k, v in entries.items() if k != PROGRAM}),
        lambda entries: packed({k: v for k, v in entries.items() if k != WEIGHTS}),
        lambda entries: packed({k.removeprefix("model/"): v for k, v in entries.items()}),
        lambda entries: packed({f"model/data/weights/weight_{i}": b"" for i in range(10_001)}),
        lambda entries: packed({}),
        lambda entries: b"",
        lambda entries: pickle.dumps({}),
        lambda entries: packed(entries)[:-30],
        lambda entries: packed(entries)[: len(packed(entries)) // 2],
    ],
)
def test_damaged_and_padded_archives_are_refused(
    make: Callable[[Entries], bytes], model_bytes: bytes
) -> None:
    with pytest.raises(UnsafeArchive):
        archive.rebuild(make(unpacked(model_bytes)))


def test_a_document_has_a_size_limit(model_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_DOCUMENT", 1000)
    with pytest.raises(UnsafeArchive, match="bytes"):
        archive.rebuild(model_bytes)


@hypothesis_settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_any_damage_is_refused_or_harmless(data: st.DataObject, model_bytes: bytes) -> None:
    damaged = bytearray(model_bytes)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(damaged), data.draw(st.integers(0, len(damaged)))]))
    try:
        rebuilt = archive.rebuild(bytes(damaged[:end]))
    except UnsafeArchive:
        return
    assert unpacked(rebuilt) == unpacked(archive.rebuild(model_bytes))


def test_the_rebuilt_archive_is_the_same_model_with_nothing_beside_it(model_bytes: bytes) -> None:
    rebuilt = archive.rebuild(model_bytes)
    rows = torch.rand(300, 9) * 20
    first, second = (torch.export.load(io.BytesIO(d)).module() for d in (model_bytes, rebuilt))
    assert torch.equal(first(rows), second(rows))
    assert archive.rebuild(rebuilt) == rebuilt


class Layers(torch.nn.Module):
    """The usual layers of models on tables, and sample inputs as torch saves them by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(6, 8)
        self.norm = torch.nn.BatchNorm1d(8)
        self.layer = torch.nn.LayerNorm(8)
        self.drop = torch.nn.Dropout()
        self.conv = torch.nn.Conv1d(1, 2, 3)
        self.embedding = torch.nn.Embedding(5, 4)
        self.last = torch.nn.Linear(16, 3)
        self.register_buffer("shift", torch.arange(8.0))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        hidden = self.drop(
            torch.nn.functional.gelu(self.norm(self.first(rows)), approximate="tanh")
        )
        hidden = self.layer(hidden + self.shift * 0.1)
        seen = self.conv(hidden.unsqueeze(1)).flatten(1)
        known = self.embedding(rows[:, 0].clamp(0, 4).to(torch.int64))
        both = torch.cat([seen, known], dim=1)
        return torch.softmax(self.last(torch.where(both > 0, both, both * 0.1)), -1)


def test_usual_models_pass_as_torch_saves_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = Layers().eval()
    program = torch.export.export(
        layers, (torch.rand(4, 6),), dynamic_shapes=({0: torch.export.Dim("batch", max=512)},)
    )
    torch.export.save(program, tmp_path / "model.pt2")
    data = (tmp_path / "model.pt2").read_bytes()
    assert len(unpacked(data)[SAMPLES]) > 0
    module = torch.export.load(io.BytesIO(archive.rebuild(data))).module()
    rows = torch.rand(50, 6) * 5
    with torch.inference_mode():
        torch.testing.assert_close(module.forward(rows), layers(rows))


def test_another_file_than_the_release_names_is_not_even_parsed(
    make_release: Callable[..., Path], model_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "rebuild", lambda _: pytest.fail("it was parsed"))
    folder = make_release()
    (folder / "model" / "model.pt2").write_bytes(model_bytes + b" ")
    with pytest.raises(TamperedModel, match="the release names"):
        model.load(settings.load(folder, RELEASE))
    (folder / "model" / "model.pt2").unlink()
    with pytest.raises(TamperedModel, match="cannot be read"):
        model.load(settings.load(folder, RELEASE))
