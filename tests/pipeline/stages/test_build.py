from __future__ import annotations

import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from wheels import make_wheel

from pipeline import digest
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed, InvalidInput
from pipeline.manifest import Manifest
from pipeline.places.host import FolderBuilder
from pipeline.places.interface import Built
from pipeline.policy.bundle import Bundle
from pipeline.policy.regocpp import RegoCpp
from pipeline.record import Outcome, StageReport
from pipeline.release_folder import Release
from pipeline.runtimes.host import Host
from pipeline.stages import build, lock
from pipeline.stages.interface import Context
from pipeline.state import State

Submit = Callable[..., Manifest]
Build = Callable[..., tuple[StageReport, Built | None]]

POLICIES = Path(__file__).parents[3] / "policies"
ONCE = Path(__file__).with_name("build_once.py")

pytestmark = pytest.mark.usefixtures("wheelhouse", "server")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(POLICIES)


@pytest.fixture
def run(tmp_path: Path, bundle: Bundle, told: Any) -> Build:
    """Build with the real policies; state and environment can be chosen."""

    def call(
        manifest: Manifest, state: str = "state", environment: Environment = Environment.LOCAL
    ) -> tuple[StageReport, Built | None]:
        context = Context(
            environment=environment,
            bundle=bundle,
            engine=RegoCpp(),
            runtime=Host(),
            builder=FolderBuilder(Host(), State(tmp_path / state)),
            state=State(tmp_path / state),
            run_folder=tmp_path / state / "runs" / "one",
            progress=told,
        )
        return anyio.run(build.run, context, manifest)

    return call


def locked(manifest: Manifest) -> Manifest:
    anyio.run(lock.write, Host(), manifest)
    return manifest


def built(outcome: tuple[StageReport, Built | None]) -> Release:
    report, release = outcome
    assert report.outcome is Outcome.PASSED, report.violations
    assert isinstance(release, Release)
    return release


def unlock_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o644)


def test_a_release_holds_all_that_it_needs_to_serve(submit: Submit, run: Build) -> None:
    manifest = locked(submit())
    release = built(run(manifest))
    assert release.folder.name == release.digest.removeprefix("sha256:")
    assert release.digest == digest.of_file(release.folder / "release.json")
    names = set(digest.files_of(release.folder))
    assert names == {
        "environment", "manifest.yaml", "model/model.pt2", "release.json", "requirements.lock.txt",
        "server/serving/__init__.py", "server/serving/__main__.py", "server/serving/measure.py",
        "settings.json",
    }  # fmt: skip
    ended = subprocess.run(
        [release.environment / "bin" / "python", "-m", "serving"],
        env={"PYTHONPATH": str(release.folder / "server")}, cwd=release.folder,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout == "alpha 1.0\n"


def test_the_real_server_reads_the_settings(submit: Submit, run: Build) -> None:
    from serving import settings

    manifest = locked(submit())
    release = built(run(manifest))
    read = settings.load(release.folder, release.digest)
    spec = manifest.model.spec
    assert (read.name, read.version, read.release) == (
        spec.model.name,
        spec.model.version,
        release.digest,
    )
    assert read.digest == digest.of_file(read.file) == release.model_digest
    assert [feature.name for feature in read.inputs] == [f.name for f in spec.signature.inputs]
    assert read.classes == spec.signature.classes
    assert len(read.golden_inputs) == len(spec.inference.golden_inputs)


def test_two_builds_of_the_same_inputs_are_identical(submit: Submit, run: Build) -> None:
    manifest = locked(submit())
    first, second = built(run(manifest, "one")), built(run(manifest, "two"))
    assert first.digest == second.digest
    assert digest.files_of(first.folder) == digest.files_of(second.folder)
    left, right = first.environment.resolve(), second.environment.resolve()
    assert digest.files_of(left) == digest.files_of(right)
    assert list(left.rglob("alpha/**/*.pyc"))


def test_a_second_build_finds_the_first(submit: Submit, run: Build, told: Any) -> None:
    manifest = locked(submit())
    release = built(run(manifest))
    told.steps.clear()
    report, again = run(manifest)
    assert report.reused
    assert again == release
    assert not any(step.startswith("installing") for step in told.steps)


def test_another_model_shares_the_environment(submit: Submit, run: Build) -> None:
    manifest = locked(submit())
    first = built(run(manifest))
    other = submit(model={"uri": "breast-cancer.pt2", "digest": None})
    source = POLICIES.parent / "examples" / "valid" / "breast-cancer" / "model.pt2"
    shutil.copy(source, other.folder / "breast-cancer.pt2")
    second = built(run(other))
    assert first.digest != second.digest
    assert first.model_digest != second.model_digest
    assert first.environment.resolve() == second.environment.resolve()


def test_a_change_of_the_server_changes_the_release(
    submit: Submit, run: Build, server: Path
) -> None:
    manifest = locked(submit())
    first = built(run(manifest))
    (server / "__main__.py").write_text("print('another')\n")
    second = built(run(manifest))
    assert first.server_digest != second.server_digest
    assert first.environment_digest == second.environment_digest


def test_without_a_lock_a_local_build_resolves_once(
    submit: Submit, run: Build, wheelhouse: Path
) -> None:
    manifest = submit()
    first = built(run(manifest))
    assert not lock.path_for(manifest).exists()
    make_wheel(wheelhouse, "gamma", "2.1")
    assert built(run(manifest)).digest == first.digest


@pytest.mark.parametrize("environment", [Environment.STAGING, Environment.PROD])
def test_staging_and_prod_accept_nothing_unlocked(
    submit: Submit, run: Build, environment: Environment
) -> None:
    manifest = submit()
    report, release = run(manifest, environment=environment)
    assert (report.outcome, release) == (Outcome.DENIED, None)
    assert [violation.id for violation in report.violations] == ["SC-LCK-001"]
    assert built(run(locked(manifest), environment=environment))


def test_a_stale_lock_is_refused(submit: Submit, run: Build) -> None:
    locked(submit())
    with pytest.raises(InvalidInput, match=r"added: beta(.|\n)*mlifecycle lock"):
        run(submit(dependencies=["gamma>=2", "beta"]))


def test_a_tampered_hash_is_refused(submit: Submit, run: Build, tmp_path: Path) -> None:
    manifest = locked(submit())
    path = lock.path_for(manifest)
    before, mark, after = path.read_text().partition("--hash=sha256:")
    path.write_text(before + mark + "00000000" + after[8:])
    report, release = run(manifest)
    assert (report.outcome, release) == (Outcome.DENIED, None)
    assert [violation.id for violation in report.violations] == ["BLD-ENV-001"]
    assert "alpha" in str(report.violations[0].actual)
    assert not list((tmp_path / "state" / "environments").iterdir())


def test_a_wheel_swapped_in_the_index_is_refused(
    submit: Submit, run: Build, wheelhouse: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    manifest = locked(submit())
    make_wheel(wheelhouse, "gamma", "2.0", files={"gamma/evil.py": "print('evil')"})
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "another-cache"))
    report, _ = run(manifest)
    assert [violation.id for violation in report.violations] == ["BLD-ENV-001"]


def test_a_lock_that_lost_a_package_is_refused(submit: Submit, run: Build) -> None:
    manifest = locked(submit())
    path = lock.path_for(manifest)
    start = path.read_text().index("beta==")
    path.write_text(
        path.read_text()[:start] + path.read_text()[path.read_text().index("gamma==") :]
    )
    report, _ = run(manifest)
    assert [violation.id for violation in report.violations] == ["BLD-ENV-002"]
    assert "beta" in str(report.violations[0].actual)


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_a_hostile_model_is_refused_and_executes_nothing(
    submit: Submit, run: Build, tmp_path: Path
) -> None:
    manifest = locked(submit(model={"uri": "evil.pt2", "digest": None}))
    mark = tmp_path / "executed"
    (manifest.folder / "evil.pt2").write_bytes(pickle.dumps(Evil(mark)))
    report, release = run(manifest)
    assert (report.outcome, release) == (Outcome.DENIED, None)
    assert [violation.id for violation in report.violations] == ["BLD-MOD-001"]
    assert not mark.exists()
    assert not (tmp_path / "state" / "environments").exists()


def test_a_model_other_than_the_claimed_one_is_refused(submit: Submit, run: Build) -> None:
    claim = digest.of_bytes(b"another")
    report, release = run(locked(submit(model={"digest": claim})))
    assert (report.outcome, release) == (Outcome.DENIED, None)
    (violation,) = report.violations
    assert (violation.id, violation.expected) == ("BLD-MOD-002", claim)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: (f / "model" / "model.pt2").write_bytes(b"evil"), "model/model.pt2 was changed"),
        (lambda f: (f / "settings.json").write_text("{}"), "settings.json was changed"),
        (lambda f: (f / "manifest.yaml").unlink(), "manifest.yaml was changed"),
        (lambda f: (f / "release.json").write_text("{}"), "release.json was changed"),
        (lambda f: (f / "release.json").unlink(), "cannot be read"),
        (lambda f: (f / "server/serving/__main__.py").write_text("evil"), "sources were changed"),
        (lambda f: (f / "server/serving/more.py").write_text(""), "sources were changed"),
        (lambda f: (f / "server/sitecustomize.py").write_text(""), "does not belong to it"),
        (lambda f: (f / "environment").unlink(), "link to its environment is missing"),
        (
            lambda f: ((f / "environment").unlink(), (f / "environment").symlink_to("/usr")),
            "its environment is /usr",
        ),
        (lambda f: shutil.rmtree((f / "environment").resolve()), "environment is missing or"),
        (lambda f: (f / "environment/bin/python").unlink(), "environment is missing or was"),
        (
            lambda f: next((f / "environment").glob("lib/*/*/beta-*/RECORD")).write_text(""),
            "environment is missing or was changed",
        ),
        (
            lambda f: next((f.parents[1] / "environments").glob("*.json")).write_text("{}"),
            "environment is missing or was changed",
        ),
    ],
)
def test_a_tampered_release_is_detected_and_built_anew(
    submit: Submit, run: Build, change: Callable[[Path], object], says: str
) -> None:
    manifest = locked(submit())
    release = built(run(manifest))
    assert Release.open(release.folder) == release
    unlock_files(release.folder)
    change(release.folder)
    with pytest.raises(EnvironmentFailed, match=says):
        Release.open(release.folder)
    report, again = run(manifest)
    assert (report.reused, again) == (False, release)
    assert list(release.folder.parent.iterdir()) == [release.folder]


def once(manifest: Manifest, tmp_path: Path, *extra: str) -> subprocess.Popen[str]:
    paths = (manifest.path, tmp_path / "state", tmp_path / "bundled")
    return subprocess.Popen(
        [sys.executable, ONCE, *map(str, paths), *extra],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("step", ["installing", "putting"])
def test_a_killed_build_leaves_no_half_release(
    submit: Submit, run: Build, tmp_path: Path, step: str
) -> None:
    manifest = locked(submit())
    process = once(manifest, tmp_path, "kill", step)
    assert process.stdout is not None
    assert any(line == "hanging\n" for line in process.stdout)
    process.send_signal(signal.SIGKILL)
    process.communicate()

    state = State(tmp_path / "state")
    left = {p.name for folder in (state.releases, state.environments) for p in folder.glob("[!.]*")}
    hidden = {p.name for folder in (state.releases, state.environments) for p in folder.glob(".*")}
    assert hidden
    assert not any(len(name) == 64 for name in left) or step == "putting"
    assert not list(state.releases.glob("[!.]*"))

    release = built(run(manifest))
    assert Release.open(release.folder) == release
    for folder in (state.releases, state.environments):
        assert not list(folder.glob(".*"))


def test_two_builds_at_once_install_once(submit: Submit, tmp_path: Path) -> None:
    manifest = locked(submit())
    processes = [once(manifest, tmp_path) for _ in range(2)]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    results = {text.splitlines()[-1].split()[1] for text in said}
    assert len(results) == 1
    assert "".join(said).count("step: installing") == 1


def test_two_builds_in_one_process_do_not_block_each_other(
    submit: Submit, tmp_path: Path, bundle: Bundle, told: Any
) -> None:
    manifest, state = locked(submit()), State(tmp_path / "state")
    found: list[Built | None] = []

    async def one(number: int) -> None:
        context = Context(
            environment=Environment.LOCAL, bundle=bundle, engine=RegoCpp(), runtime=Host(),
            builder=FolderBuilder(Host(), state), state=state,
            run_folder=tmp_path / str(number), progress=told,
        )  # fmt: skip
        found.append((await build.run(context, manifest))[1])

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(one, 1)
            group.start_soon(one, 2)

    anyio.run(both)
    assert found[0] is not None
    assert found[0] == found[1]
    assert sum(step.startswith("installing") for step in told.steps) == 1


@pytest.mark.parametrize("step", ["installing", "putting"])
def test_a_full_disk_is_told_and_leaves_nothing(
    submit: Submit, run: Build, tmp_path: Path, step: str
) -> None:
    manifest = locked(submit())
    process = once(manifest, tmp_path, "starve", step)
    said = process.communicate()[0]
    assert process.returncode == 3, said
    assert "Traceback" not in said
    state = State(tmp_path / "state")
    for folder in (state.releases, state.environments):
        assert not list(folder.glob(".*"))
    assert not list(state.releases.glob("*"))
    assert built(run(manifest))
