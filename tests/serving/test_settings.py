"""settings.json is read strictly: what the server does not understand, it does not guess."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving import settings
from serving.errors import InvalidSettings

RELEASE = "sha256:" + "a" * 64


def test_the_builds_settings_are_read(
    make_release: Callable[..., Path], document: dict[str, Any]
) -> None:
    folder = make_release(document)
    loaded = settings.load(folder, RELEASE)
    assert loaded.release == RELEASE
    assert (loaded.name, loaded.version) == ("fraud-detector", "1.2.0")
    assert loaded.file == folder / "model" / "model.pt2"
    assert loaded.digest == document["model"]["digest"]
    assert loaded.inputs[0] == settings.Feature("amount", "float", 0, 25000)
    assert loaded.classes == ("legitimate", "fraud")
    assert loaded.golden_inputs[0].tolerance == 0.001
    assert loaded.metrics is True


def test_ranges_tolerances_and_descriptions_may_be_absent_or_null(
    make_release: Callable[..., Path], document: dict[str, Any]
) -> None:
    document["signature"]["inputs"][0] = {"name": "amount", "type": "float", "minimum": None}
    document["golden_inputs"][0]["expected"] = {"prediction": "fraud", "probabilities": None}
    del document["model"]["description"]
    loaded = settings.load(make_release(document), RELEASE)
    assert loaded.inputs[0] == settings.Feature("amount", "float", None, None)
    assert loaded.golden_inputs[0].probabilities is None
    assert loaded.description == ""


def put(value: Any, *path: str | int) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (put(2, "format"), "settings.format"),
        (put(None, "model"), "settings.model is missing"),
        (put([], "model"), "settings.model"),
        (put(1.2, "model", "version"), "settings.model.version"),
        (put("x", "model", "extra"), "extra"),
        (put("x", "extra"), "extra"),
        (put("../../etc/passwd", "model", "file"), "settings.model.file"),
        (put("/etc/passwd", "model", "file"), "settings.model.file"),
        (put("", "model", "file"), "settings.model.file"),
        (put("sha256:12", "model", "digest"), "settings.model.digest"),
        (put("md5:" + "a" * 67, "model", "digest"), "settings.model.digest"),
        (put([], "signature", "inputs"), "settings.signature.inputs"),
        (put("text", "signature", "inputs", 0, "type"), "inputs[0].type"),
        (put("1", "signature", "inputs", 0, "minimum"), "inputs[0].minimum"),
        (put(True, "signature", "inputs", 0, "minimum"), "inputs[0].minimum"),
        (put(float("nan"), "signature", "inputs", 0, "minimum"), "inputs[0].minimum"),
        (put("hour", "signature", "inputs", 0, "name"), "a name twice"),
        (put(["a", "a"], "signature", "classes"), "a name twice"),
        (put(["a", 1], "signature", "classes"), "classes[1]"),
        (put([], "golden_inputs"), "settings.golden_inputs"),
        (put([1], "golden_inputs", 0, "instance"), "golden_inputs[0].instance"),
        (put([1], "golden_inputs", 0, "expected", "probabilities"), "probabilities"),
        (put("loud", "logging", "level"), "settings.logging.level"),
        (put("xml", "logging", "format"), "settings.logging.format"),
        (put("yes", "metrics", "enabled"), "settings.metrics.enabled"),
        (put(None, "lane"), "settings.lane is missing"),
        (put("gpu", "lane", "name"), "settings.lane.name"),
        (put("sha256:1", "lane", "digest"), "settings.lane.digest"),
        (put("x", "lane", "extra"), "extra"),
        (put(None, "batching"), "settings.batching is missing"),
        (put("sometimes", "batching"), "settings.batching"),
    ],
)
def test_other_settings_are_refused_by_name(
    change: Callable[[Any], None],
    names: str,
    make_release: Callable[..., Path],
    document: dict[str, Any],
) -> None:
    change(document)
    with pytest.raises(settings.InvalidSettings) as refusal:
        settings.load(make_release(document), RELEASE)
    assert names in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xff", b"[" * 100_000])
def test_no_json_object_is_refused(content: bytes, make_release: Callable[..., Path]) -> None:
    folder = make_release()
    (folder / "settings.json").write_bytes(content)
    with pytest.raises(InvalidSettings):
        settings.load(folder, RELEASE)


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read"):
        settings.load(tmp_path, RELEASE)


@pytest.mark.parametrize("field", ["format", "model", "signature", "golden_inputs", "logging"])
def test_every_part_is_required(
    field: str, make_release: Callable[..., Path], document: dict[str, Any]
) -> None:
    folder = make_release({k: v for k, v in document.items() if k != field})
    assert field not in json.loads((folder / "settings.json").read_text())
    with pytest.raises(InvalidSettings, match=field):
        settings.load(folder, RELEASE)
