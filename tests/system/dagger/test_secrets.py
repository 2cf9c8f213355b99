"""Passwords stay with those that they are for."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from calls import needs_our_engine, pulled, registry
from conftest import Call, Databases
from guarded_index import USER, guarded
from small_module import LOCK, submit

pytestmark = needs_our_engine


def test_a_password_is_nowhere_afterwards(call: Call, databases: Databases, tmp_path: Path) -> None:
    planted = {use: f"planted-{use}-{secrets.token_hex(8)}" for use in ("registry", "index")}
    manifest = submit(tmp_path / "mine", name=f"secret-{secrets.token_hex(3)}")
    # A lock that no build has seen: else its packages would come from the engine's cache.
    with (manifest.parent / LOCK).open("a") as lock:
        lock.write(f"# {secrets.token_hex(8)}\n")
    with guarded(planted["index"]) as index:
        options = [
            *("--package-index", index.address, "--torch-index", index.address),
            *("--netrc", "env:INDEX_CREDENTIALS"),
            *("--registry", registry("secrets/small"), "--registry-username", USER),
            *("--registry-password", "env:REGISTRY_PASSWORD", *databases.options),
        ]
        done = call(
            *options,
            *("release", "--manifest", manifest, "evidence", "-o", tmp_path / "evidence"),
            source=manifest.parent,
            REGISTRY_PASSWORD=planted["registry"],
            INDEX_CREDENTIALS=index.netrc,
        )
    assert done.returncode == 0, done.stderr
    assert {"orjson/", "mlflow-skinny/"} <= set(index.answered)
    record = json.loads((tmp_path / "evidence" / "record.json").read_text())
    assert record["outcome"] == "passed"
    (published,) = (each for each in record["stages"] if each["stage"] == "publish")
    places = {
        "output": done.stdout.encode(),
        "progress": done.stderr.encode(),
        **{
            str(path): path.read_bytes()
            for path in (tmp_path / "evidence").rglob("*")
            if path.is_file()
        },
    }
    image = pulled(published["outputs"]["reference"])
    places |= {
        "the image's manifest": json.dumps(image.manifest).encode(),
        "the image's configuration": json.dumps(image.configuration).encode(),
        **{f"layer {number}": layer for number, layer in enumerate(image.layers())},
    }
    assert "layer 3" in places
    found = [
        (use, place)
        for place, content in places.items()
        for use, password in planted.items()
        if password.encode() in content
    ]
    assert not found
