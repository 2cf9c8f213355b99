from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from wheels import make_wheel

from pipeline.errors import EnvironmentFailed, InvalidInput
from pipeline.manifest import Manifest
from pipeline.program import Lane
from pipeline.runtimes.host import Host
from pipeline.stages import lock
from pipeline.stages.lock import LockStatus

Submit = Callable[..., Manifest]

pytestmark = pytest.mark.usefixtures("wheelhouse", "server")


def write(manifest: Manifest, upgrade: bool = False) -> lock.Written:
    async def call() -> lock.Written:
        return await lock.write(Host(), manifest, upgrade=upgrade)

    return anyio.run(call)


def test_one_lock_for_the_manifest_and_the_server(submit: Submit) -> None:
    manifest = submit()
    assert lock.check(manifest).status is LockStatus.ABSENT
    written = write(manifest)
    state = lock.check(manifest)
    assert state.status is LockStatus.LOCKED
    assert state.lock is not None
    assert written.path == manifest.path.with_name("model-manifest.lock.txt")
    assert (written.packages, written.digest) == (3, state.lock.digest)
    versions = {entry.name: entry.version for entry in state.lock.entries}
    assert versions == {"alpha": "1.0", "beta": "1.5", "gamma": "2.0"}
    assert "wheelhouse" not in written.path.read_text()


def test_the_lock_is_the_same_each_time(submit: Submit) -> None:
    first = write(submit())
    data = first.path.read_bytes()
    first.path.unlink()
    assert write(submit()).digest == first.digest
    assert first.path.read_bytes() == data


def test_locked_versions_stay_until_an_upgrade(submit: Submit, wheelhouse: Path) -> None:
    manifest = submit()
    write(manifest)
    make_wheel(wheelhouse, "gamma", "2.1")
    write(manifest)
    assert "gamma==2.0" in lock.path_for(manifest).read_text()
    write(manifest, upgrade=True)
    assert "gamma==2.1" in lock.path_for(manifest).read_text()


def test_a_stale_lock_says_what_changed_and_what_to_run(submit: Submit) -> None:
    write(submit())
    manifest = submit(dependencies=["gamma>=2", "beta<2"])
    state = lock.check(manifest)
    assert state.status is LockStatus.STALE
    assert state.differences == ("added: beta<2",)
    text = str(lock.stale(manifest, state))
    assert "added: beta<2" in text
    assert f"mlifecycle lock --manifest {manifest.path}" in text


def test_a_change_of_the_server_makes_a_lock_stale(submit: Submit, server: Path) -> None:
    manifest = submit()
    write(manifest)
    (server / "requirements.in").write_text("alpha>=1\nbeta\n")
    assert lock.check(manifest).differences == ("added: beta",)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("gamma==2.0", "gamma==1.0", "gamma>=2 is locked at 1.0"),
        ("gamma==2.0", "delta==2.0", "gamma>=2 is not locked"),
        ("alpha==1.0 \\", "alpha @ file:///tmp/alpha.whl \\", "direct reference"),
        ("beta==1.5 \\", "--index-url=https://example.invalid \\", "not allowed"),
        ("# inputs: sha256:", "# inputs: sha256:0", "header"),
    ],
)
def test_an_edited_lock_is_stale(submit: Submit, old: str, new: str, says: str) -> None:
    manifest = submit()
    path = write(manifest).path
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    state = lock.check(manifest)
    assert state.status is LockStatus.STALE
    assert says in " ".join(state.differences)


def test_a_lock_without_hashes_is_stale(submit: Submit) -> None:
    manifest = submit()
    path = write(manifest).path
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "--hash" not in line).replace(" \\", ""))
    assert "alpha has no hash" in " ".join(lock.check(manifest).differences)


def test_requirements_that_do_not_fit_are_the_callers_matter(submit: Submit) -> None:
    with pytest.raises(InvalidInput, match=r"spec\.dependencies(.|\n)*beta>=9"):
        write(submit(dependencies=["beta>=9"]))


def test_an_index_out_of_reach_is_the_environments_matter(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_NO_INDEX")
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://someone:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(EnvironmentFailed, match="could not be resolved") as failed:
        write(submit())
    assert "secret" not in str(failed.value)


def test_the_additional_index_is_used_and_not_recorded(
    submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_NO_INDEX")
    monkeypatch.setenv("UV_DEFAULT_INDEX", (tmp_path / "wheelhouse").as_uri())
    other = tmp_path / "other"
    wheel = make_wheel(other / "gamma", "gamma", "2.5")
    (other / "gamma" / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    monkeypatch.setenv("MLIFECYCLE_TORCH_INDEX", other.as_uri())
    manifest = submit()
    path = write(manifest).path
    assert "gamma==2.5" in path.read_text()
    assert str(other) not in path.read_text()
    assert lock.check(manifest).status is LockStatus.LOCKED


def test_a_direct_reference_is_refused_before_anything_is_fetched(submit: Submit) -> None:
    manifest = submit()
    spec = manifest.model.spec.model_copy(
        update={"dependencies": ("evil @ file:///tmp/evil", "no requirement!", "gamma")}
    )
    changed = Manifest(
        manifest.path,
        manifest.data,
        manifest.digest,
        manifest.document,
        manifest.model.model_copy(update={"spec": spec}),
    )
    with pytest.raises(InvalidInput) as refused:
        lock.wanted(changed)
    assert [p.path for p in refused.value.problems] == [
        "spec.dependencies[0]",
        "spec.dependencies[1]",
    ]


def test_a_lock_that_cannot_be_read_is_refused(submit: Submit) -> None:
    manifest = submit()
    lock.path_for(manifest).mkdir()
    with pytest.raises(InvalidInput, match="readable file"):
        lock.check(manifest)
    lock.path_for(manifest).rmdir()
    lock.path_for(manifest).write_bytes(b"#" * (lock.SIZE_LIMIT + 1))
    with pytest.raises(InvalidInput, match="larger than"):
        lock.check(manifest)


def test_each_lane_has_a_lock_of_its_own(submit: Submit, wheelhouse: Path) -> None:
    make_wheel(wheelhouse, "torch", "2.9")
    manifest = submit(dependencies=["torch>=2.9", "gamma>=2"])
    anyio.run(lock.write, Host(), manifest, Lane.ONNX)
    path = lock.path_for(manifest, Lane.ONNX)
    assert path.name == "model-manifest.onnx.lock.txt"
    assert "torch==" not in path.read_text()
    assert lock.check(manifest, Lane.ONNX).status is LockStatus.LOCKED
    assert lock.check(manifest).status is LockStatus.ABSENT
    write(manifest)
    assert "\ntorch==" in lock.path_for(manifest).read_text()


def test_what_brings_torch_into_the_onnx_lane_is_refused(submit: Submit, wheelhouse: Path) -> None:
    make_wheel(wheelhouse, "torch", "2.9")
    make_wheel(wheelhouse, "vision", "1.0", ["torch>=2.9"])
    manifest = submit(dependencies=["vision>=1"])
    with pytest.raises(InvalidInput, match=r"spec\.dependencies.*without torch.*onnx") as refused:
        anyio.run(lock.write, Host(), manifest, Lane.ONNX)
    assert len(refused.value.problems) == 1
    assert not lock.path_for(manifest, Lane.ONNX).exists()


def test_a_lock_with_torch_is_not_the_onnx_lane_s(submit: Submit, wheelhouse: Path) -> None:
    make_wheel(wheelhouse, "torch", "2.9")
    manifest = submit(dependencies=["gamma>=2"])
    anyio.run(lock.write, Host(), manifest, Lane.ONNX)
    path = lock.path_for(manifest, Lane.ONNX)
    path.write_text(path.read_text() + "torch==2.9 --hash=sha256:" + "0" * 64 + "\n")
    state = lock.check(manifest, Lane.ONNX)
    assert state.status is LockStatus.STALE
    assert "no use for it" in " ".join(state.differences)
