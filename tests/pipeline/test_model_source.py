from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import fsspec
import pytest

from pipeline import digest, model_source
from pipeline.errors import EnvironmentFailed, InvalidInput
from pipeline.manifest import Manifest
from pipeline.model_source import StoredModel
from pipeline.state import State

Submit = Callable[..., Manifest]


def fetch(manifest: Manifest, state: Path) -> StoredModel:
    return anyio.run(model_source.fetch, manifest, State(state))


def at(manifest: Manifest, uri: str, claim: str | None = None) -> Manifest:
    """The manifest with another URI, past the checks of the manifest itself."""
    model = manifest.model.spec.model.model_copy(update={"uri": uri, "digest": claim})
    spec = manifest.model.spec.model_copy(update={"model": model})
    whole = manifest.model.model_copy(update={"spec": spec})
    return Manifest(manifest.path, manifest.data, manifest.digest, manifest.document, whole)


def test_a_file_beside_the_manifest_is_stored_under_its_digest(
    submit: Submit, tmp_path: Path
) -> None:
    manifest = submit()
    source = manifest.folder / "fraud-detector" / "model.pt2"
    stored = fetch(manifest, tmp_path / "state")
    assert stored.digest == digest.of_file(source) == digest.of_file(stored.path)
    assert stored.size == source.stat().st_size
    assert stored.path.name == stored.digest.removeprefix("sha256:")
    assert [path.name for path in stored.path.parent.iterdir()] == [stored.path.name]
    assert fetch(manifest, tmp_path / "state") == stored


def test_a_damaged_store_is_mended(submit: Submit, tmp_path: Path) -> None:
    stored = fetch(submit(), tmp_path / "state")
    stored.path.chmod(0o644)
    stored.path.write_bytes(b"tampered")
    fetch(submit(), tmp_path / "state")
    assert digest.of_file(stored.path) == stored.digest


@pytest.mark.parametrize(
    "uri",
    ["../model.pt2", "/etc/passwd", "a/../../b", "", ".", "..", "a\\b", "absent.pt2",
     "fraud-detector", "file:///etc/passwd", "local:///etc/passwd", "dir:///etc/passwd",
     "simplecache::file:///etc/passwd", "zip://a::file:///etc/passwd", "nothing://a/b"],
)  # fmt: skip
def test_what_is_no_file_beside_the_manifest_is_refused(
    submit: Submit, tmp_path: Path, uri: str
) -> None:
    with pytest.raises(InvalidInput, match=r"spec\.model\.uri"):
        fetch(at(submit(), uri), tmp_path / "state")


@pytest.mark.parametrize("what", ["file", "folder", "chain", "loop"])
def test_a_link_out_of_the_folder_is_refused(submit: Submit, tmp_path: Path, what: str) -> None:
    manifest = submit()
    secret = tmp_path / "secret" / "model.pt2"
    secret.parent.mkdir()
    secret.write_text("secret")
    link = manifest.folder / "link"
    if what == "file":
        link.symlink_to(secret)
    elif what == "folder":
        link.symlink_to(secret.parent)
    elif what == "chain":
        (manifest.folder / "first").symlink_to(secret)
        link.symlink_to("first")
    else:
        link.symlink_to("link")
    uri = "link/model.pt2" if what == "folder" else "link"
    with pytest.raises(InvalidInput, match=r"spec\.model\.uri"):
        fetch(at(manifest, uri), tmp_path / "state")
    assert not list((tmp_path / "state").rglob("*"))


def test_a_link_within_the_folder_is_followed(submit: Submit, tmp_path: Path) -> None:
    manifest = submit()
    (manifest.folder / "current.pt2").symlink_to("fraud-detector/model.pt2")
    stored = fetch(at(manifest, "current.pt2"), tmp_path / "state")
    assert stored.digest == digest.of_file(manifest.folder / "fraud-detector" / "model.pt2")


def test_a_pipe_is_refused_without_waiting_for_it(submit: Submit, tmp_path: Path) -> None:
    manifest = submit()
    os.mkfifo(manifest.folder / "pipe")
    with pytest.raises(InvalidInput, match="regular file"):
        fetch(at(manifest, "pipe"), tmp_path / "state")


def test_a_model_over_the_limit_is_refused(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_source, "SIZE_LIMIT", 1000)
    with pytest.raises(InvalidInput, match="at most 1000 bytes"):
        fetch(submit(), tmp_path / "state")
    assert not list((tmp_path / "state" / "models").iterdir())


def test_any_store_of_fsspec_will_do(submit: Submit, tmp_path: Path) -> None:
    with fsspec.open("memory://models/a.pt2", "wb") as stream:
        stream.write(b"model")
    stored = fetch(at(submit(), "memory://models/a.pt2"), tmp_path / "state")
    assert stored.digest == digest.of_bytes(b"model")


def test_a_claimed_digest_saves_the_way(submit: Submit, tmp_path: Path) -> None:
    claim = digest.of_bytes(b"model 2")
    with fsspec.open("memory://models/b.pt2", "wb") as stream:
        stream.write(b"model 2")
    manifest = at(submit(), "memory://models/b.pt2", claim)
    stored = fetch(manifest, tmp_path / "state")
    fsspec.filesystem("memory").rm("/models/b.pt2")
    assert fetch(manifest, tmp_path / "state") == stored
    with pytest.raises(InvalidInput, match="existing object"):
        fetch(at(manifest, "memory://models/b.pt2"), tmp_path / "state")


def test_a_store_whose_package_is_absent_is_named(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(scheme: str) -> None:
        raise ImportError(scheme)

    monkeypatch.setattr(fsspec, "get_filesystem_class", absent)
    with pytest.raises(EnvironmentFailed, match=r"(?i)install s3fs"):
        fetch(at(submit(), "s3://bucket/model.pt2"), tmp_path / "state")


def test_a_store_that_fails_is_the_environments_matter(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(uri: str, mode: str) -> None:
        raise ConnectionError(f"cannot reach {uri}")

    monkeypatch.setattr(fsspec, "get_filesystem_class", lambda scheme: None)
    monkeypatch.setattr(fsspec, "open", failing)
    manifest = at(submit(), "https://me:secret@127.0.0.1:9/model.pt2")
    with pytest.raises(EnvironmentFailed, match="could not be fetched") as failed:
        fetch(manifest, tmp_path / "state")
    assert "secret" not in str(failed.value)


def test_a_full_disk_leaves_nothing_behind(submit: Submit, tmp_path: Path) -> None:
    manifest = submit()
    code = (
        "import sys, anyio, resource\n"
        "from pathlib import Path\n"
        "from pipeline import manifest, model_source\n"
        "from pipeline.errors import EnvironmentFailed\n"
        "from pipeline.state import State\n"
        "loaded = manifest.load(Path(sys.argv[1]))\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
        "try:\n"
        "    anyio.run(model_source.fetch, loaded, State(Path(sys.argv[2])))\n"
        "except EnvironmentFailed as error:\n"
        "    print(error)\n"
    )
    state = tmp_path / "state"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(manifest.path), str(state)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "could not be stored" in ended.stdout
    assert not list((state / "models").iterdir())
