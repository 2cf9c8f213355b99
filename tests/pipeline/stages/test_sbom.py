from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from pipeline import digest
from pipeline.environment import Environment
from pipeline.errors import EnvironmentFailed
from pipeline.manifest import Manifest
from pipeline.places.host import FolderBuilder
from pipeline.policy.bundle import Bundle
from pipeline.policy.regocpp import RegoCpp
from pipeline.record import Outcome, StageReport
from pipeline.release_folder import Release
from pipeline.runtimes.host import Host
from pipeline.stages import build, lock, sbom
from pipeline.stages.interface import Context
from pipeline.state import State

Submit = Callable[..., Manifest]

POLICIES = Path(__file__).parents[3] / "policies"

pytestmark = pytest.mark.usefixtures("wheelhouse", "server")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(POLICIES)


@pytest.fixture
def manifest(submit: Submit) -> Manifest:
    manifest = submit()
    anyio.run(lock.write, Host(), manifest)
    return manifest


@pytest.fixture
def context(tmp_path: Path, bundle: Bundle, told: Any) -> Callable[..., Context]:
    def make(state: str = "state", run: str = "one", runtime: Any = None) -> Context:
        return Context(
            environment=Environment.LOCAL, bundle=bundle, engine=RegoCpp(),
            runtime=runtime or Host(), state=State(tmp_path / state),
            builder=FolderBuilder(runtime or Host(), State(tmp_path / state)),
            run_folder=tmp_path / state / "runs" / run, progress=told,
        )  # fmt: skip

    return make


def built(context: Context, manifest: Manifest) -> Release:
    _, release = anyio.run(build.run, context, manifest)
    assert isinstance(release, Release)
    return release


def site(release: Release) -> Path:
    return next(release.environment.resolve().glob("lib/python*/site-packages"))


def examine(context: Context, manifest: Manifest, release: Release) -> StageReport:
    return anyio.run(sbom.run, context, manifest, release)


def test_all_accounts_of_a_fresh_release_agree(
    context: Callable[..., Context], manifest: Manifest
) -> None:
    here = context()
    release = built(here, manifest)
    report = examine(here, manifest, release)
    assert report.outcome is Outcome.PASSED, report.violations
    assert report.tools[0].audited == 3
    rows = json.loads((here.run_folder / report.artifacts["comparison"]).read_text())
    accounts = ("package", "declared", "locked", "installed", "sbom")
    assert [tuple(row[account] for account in accounts) for row in rows] == [
        ("alpha", "alpha>=1", "1.0", "1.0", "1.0"),
        ("beta", None, "1.5", "1.5", "1.5"),
        ("gamma", "gamma>=2", "2.0", "2.0", "2.0"),
    ]
    for form in ("cyclonedx", "spdx"):
        assert digest.of_file(here.run_folder / report.artifacts[form]) == report.outputs[form]


def test_the_same_release_has_the_same_bill_everywhere(
    context: Callable[..., Context], manifest: Manifest
) -> None:
    reports = []
    for state in ("one", "two"):
        here = context(state)
        reports.append(examine(here, manifest, built(here, manifest)))
    assert reports[0].outputs == reports[1].outputs


def test_an_environment_is_listed_once(context: Callable[..., Context], manifest: Manifest) -> None:
    here = context()
    release = built(here, manifest)
    first = examine(here, manifest, release)
    again = context(run="two")
    second = examine(again, manifest, release)
    assert (first.reused, second.reused) == (False, True)
    assert first.outputs == second.outputs
    assert (again.run_folder / second.artifacts["cyclonedx"]).exists()


def test_a_damaged_result_is_not_reused(
    context: Callable[..., Context], manifest: Manifest, tmp_path: Path
) -> None:
    here = context()
    release = built(here, manifest)
    examine(here, manifest, release)
    (kept,) = (tmp_path / "state" / "cache" / "sbom").iterdir()
    kept.write_text('{"cyclonedx": {}, "spdx": {}}')
    assert not examine(here, manifest, release).reused


def plant(release: Release) -> None:
    """A package that nobody locked."""
    info = site(release) / "evil-6.6.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 6.6\n")
    (info / "RECORD").write_text("evil-6.6.dist-info/METADATA,,\nevil-6.6.dist-info/RECORD,,\n")


def remove(release: Release) -> None:
    shutil.rmtree(site(release) / "gamma")
    shutil.rmtree(site(release) / "gamma-2.0.dist-info")


@pytest.mark.parametrize(
    ("change", "package", "says"),
    [
        (plant, "evil", "installed but not locked"),
        (remove, "gamma", "locked but not installed"),
        (
            lambda r: (site(r) / "start.pth").write_text("import os"),
            "start.pth",
            "belongs to no distribution",
        ),
        (
            lambda r: (site(r) / "alpha" / "__init__.py").write_text("evil"),
            "alpha/__init__.py",
            "was changed",
        ),
    ],
)
def test_every_difference_is_a_violation(
    context: Callable[..., Context],
    manifest: Manifest,
    change: Callable[[Release], object],
    package: str,
    says: str,
) -> None:
    here = context()
    release = built(here, manifest)
    change(release)
    report = examine(here, manifest, release)
    assert report.outcome is Outcome.DENIED
    (violation,) = report.violations
    assert violation.id == "SC-INV-001"
    assert isinstance(violation.actual, dict)
    assert violation.actual["package"] == package
    assert says in str(violation.actual["problem"])
    assert examine(here, manifest, release).outcome is Outcome.DENIED


def forge(release: Release) -> None:
    """Another file in alpha, and alpha's own list of files made to fit."""
    (site(release) / "alpha" / "evil.py").write_text("evil")
    hashed = base64.urlsafe_b64encode(hashlib.sha256(b"evil").digest()).rstrip(b"=").decode()
    with (site(release) / "alpha-1.0.dist-info" / "RECORD").open("a") as record:
        record.write(f"alpha/evil.py,sha256={hashed},4\n")


def test_other_files_than_the_release_was_built_with_are_a_violation(
    context: Callable[..., Context], manifest: Manifest
) -> None:
    here = context()
    release = built(here, manifest)
    forge(release)
    report = examine(here, manifest, release)
    (violation,) = report.violations
    assert isinstance(violation.actual, dict)
    assert violation.actual["package"] == "alpha"
    assert "built with" in str(violation.actual["problem"])


@pytest.mark.parametrize("change", [plant, remove, forge])
def test_what_was_found_once_is_not_held_against_an_environment_that_was_mended(
    context: Callable[..., Context], manifest: Manifest, change: Callable[[Release], None]
) -> None:
    here = context()
    release = built(here, manifest)
    change(release)
    assert examine(here, manifest, release).outcome is Outcome.DENIED
    assert built(here, manifest) == release
    report = examine(here, manifest, release)
    assert report.outcome is Outcome.PASSED, report.violations


def test_a_dependency_declared_since_is_a_violation(
    context: Callable[..., Context], manifest: Manifest, submit: Submit
) -> None:
    here = context()
    release = built(here, manifest)
    report = examine(here, submit(dependencies=["gamma>=2", "delta"]), release)
    assert [violation.id for violation in report.violations] == ["SC-INV-001"]
    assert "declared but not locked" in str(report.violations[0].actual)


def test_without_syft_there_is_an_error_that_says_so(
    context: Callable[..., Context], manifest: Manifest
) -> None:
    class NoSyft(Host):
        def find(self, command: str) -> Path | None:
            return None if command == "syft" else super().find(command)

    here = context(runtime=NoSyft())
    release = built(here, manifest)
    with pytest.raises(EnvironmentFailed, match="syft is not installed"):
        examine(here, manifest, release)


def test_a_syft_that_fails_is_an_error(
    context: Callable[..., Context], manifest: Manifest, tmp_path: Path, monkeypatch: Any
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "syft").write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    (tools / "syft").chmod(0o755)
    monkeypatch.setenv("MLIFECYCLE_TOOLS", str(tools))
    here = context()
    release = built(here, manifest)
    with pytest.raises(EnvironmentFailed, match="no bill of materials"):
        examine(here, manifest, release)
