"""gitleaks, trivy, grype and dockle themselves, on planted images and sources.

The vulnerability databases are small ones, made on the spot, in the real tools' own formats.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "pipeline" / "tools"))

import image_inputs as given
import planted_defects as planted
import planted_images as images

from pipeline.findings import ToolReport, ToolStatus
from pipeline.resources import folder
from pipeline.runtimes.host import COPY_LIMIT, Host
from pipeline.tools import dockle, gitleaks, grype, trivy
from pipeline.tools.interface import Scanner

PROGRAMS = ("gitleaks", "trivy", "grype", "dockle", "syft", "trivy-database", "grype-database")
Inputs = dict[str, Path]


@pytest.fixture(scope="module", autouse=True)
def programs() -> Iterator[None]:
    """All of them, first on the path of tools."""
    absent = [name for name in PROGRAMS if not (given.PROGRAMS / name).is_file()]
    if absent:
        pytest.fail(
            f"There is no {', '.join(absent)} in {given.PROGRAMS}. Run "
            "tests/system/tools/install.sh gitleaks trivy grype dockle syft, and "
            "tests/system/databases/install.sh.",
            pytrace=False,
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLIFECYCLE_TOOLS", str(given.PROGRAMS))
        yield


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return {"image.tar": images.bad(tmp_path_factory.mktemp("bad") / "image.tar")}


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    room = tmp_path_factory.mktemp("databases")
    return given.for_trivy(room / "trivy") | given.for_grype(room / "grype")


def scan(scanner: Scanner, *inputs: Inputs) -> ToolReport:
    everything = {name: path for some in inputs for name, path in some.items()}
    wanted = (*scanner.reads, *scanner.database)

    async def run() -> ToolReport:
        host = Host()
        version = await host.version(scanner.command)
        call = scanner.invocation({name: everything[name] for name in wanted if name in everything})
        return scanner.parse(await host.run(call), version or "")

    return asyncio.run(run())


def ran(scanner: Scanner, *inputs: Inputs) -> ToolReport:
    report = scan(scanner, *inputs)
    assert report.status is ToolStatus.RAN, report.reason
    return report


def places(report: ToolReport) -> set[str]:
    return {str(finding.location and finding.location.file) for finding in report.findings}


@pytest.mark.parametrize("scanner", [trivy.SCANNER, grype.SCANNER], ids=["trivy", "grype"])
def test_a_planted_vulnerable_package_is_found(
    scanner: Scanner, bad: Inputs, databases: Inputs
) -> None:
    found = {
        (str(finding.package).lower(), finding.installed_version)
        for finding in ran(scanner, bad, databases).findings
        if finding.fixed_version
    }
    assert found == {("jinja2", "2.4.1"), ("pillow", "9.5.0")}


def test_grype_finds_as_much_by_the_bill_of_materials(
    bad: Inputs, databases: Inputs, tmp_path: Path
) -> None:
    bill = given.bill(tmp_path, bad["image.tar"])
    assert (
        ran(grype.OF_BILL, bill, databases).findings == ran(grype.SCANNER, bad, databases).findings
    )


def test_an_image_too_large_to_be_copied_is_read_all_the_same(
    databases: Inputs, tmp_path: Path
) -> None:
    content = {**images.BAD, "usr/share/data": "0" * (COPY_LIMIT + 1)}
    config = {"User": "10001"}
    path = images.archive(tmp_path / "x.tar", content, config=config, history=["COPY . /"])
    for scanner in (trivy.SCANNER, grype.SCANNER, dockle.SCANNER):
        assert ran(scanner, {"image.tar": path}, databases).findings


def test_databases_as_large_as_the_public_ones_are_read(bad: Inputs, tmp_path: Path) -> None:
    large = given.for_trivy(tmp_path / "t") | given.for_grype(tmp_path / "g")
    os.truncate(large[trivy.DATABASE], COPY_LIMIT + 1)
    (large[grype.DATABASE] / "more").write_bytes(b"\0" * (COPY_LIMIT + 1))
    for scanner in (trivy.SCANNER, grype.SCANNER):
        assert ran(scanner, bad, large).database is not None


@pytest.mark.parametrize("scanner", [trivy.SCANNER, grype.SCANNER], ids=["trivy", "grype"])
def test_without_a_database_nothing_is_vouched_for(scanner: Scanner, bad: Inputs) -> None:
    report = scan(scanner, bad)
    assert report.reason == "it has no vulnerability database"
    assert report.status is ToolStatus.NOT_RUN


def test_an_old_database_vouches_for_nothing(bad: Inputs, tmp_path: Path) -> None:
    age = timedelta(days=6)
    old = given.for_trivy(tmp_path / "t", age) | given.for_grype(tmp_path / "g", age)
    for scanner in (trivy.SCANNER, grype.SCANNER):
        report = scan(scanner, bad, old)
        assert report.status is ToolStatus.NOT_RUN
        assert "6 days before the scan" in report.reason


def test_dockle_finds_how_an_image_should_not_be_made(bad: Inputs) -> None:
    rules = {finding.rule for finding in ran(dockle.SCANNER, bad).findings}
    assert {"CIS-DI-0001", "CIS-DI-0008", "CIS-DI-0010", "DKL-LI-0001"} <= rules


def test_trivy_finds_a_key_a_licence_and_a_misconfiguration(bad: Inputs, databases: Inputs) -> None:
    report = ran(trivy.SCANNER, bad, databases)
    rules = {finding.rule for finding in report.findings}
    assert {"aws-access-key-id", "licence AGPL-3.0-only"} <= rules
    assert {"image", "image/app/settings.py", "image/app/Dockerfile"} <= places(report)


def test_gitleaks_finds_a_planted_key_whatever_hides_it(tmp_path: Path) -> None:
    submission = planted.bad_submission(tmp_path / "mine")
    hiding = {".gitleaks.toml": "[allowlist]\npaths = ['.*']\n", ".gitleaksignore": ""}
    planted.write(submission, hiding)
    report = ran(gitleaks.SCANNER, {"submission": submission})
    assert {"submission/train.py", "submission/tests/swagger.py"} <= places(report)


def test_gitleaks_writes_no_secret_anywhere(tmp_path: Path) -> None:
    submission = planted.bad_submission(tmp_path / "mine")
    call = gitleaks.SCANNER.invocation({"submission": submission})
    outcome = asyncio.run(Host().run(call))
    assert planted.AWS_KEY not in outcome.stdout + outcome.stderr


def test_our_own_sources_are_clean() -> None:
    sources = {"server": folder("serving"), "Dockerfile": folder("serving") / "Dockerfile"}
    assert not ran(gitleaks.SCANNER, sources).findings
    assert not ran(trivy.FILES, sources).findings
