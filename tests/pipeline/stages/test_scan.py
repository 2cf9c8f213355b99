from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.environment import Environment
from pipeline.findings import ToolReport, ToolStatus
from pipeline.manifest import Manifest
from pipeline.places.host import FolderBuilder
from pipeline.policy.bundle import Bundle
from pipeline.policy.regocpp import RegoCpp
from pipeline.progress import Silent, StageProgress
from pipeline.record import Outcome as Ending
from pipeline.record import StageReport
from pipeline.release_folder import Release
from pipeline.resources import folder
from pipeline.runtimes.interface import Invocation, Outcome, ToolNotFound
from pipeline.stages import scan
from pipeline.stages.interface import Context
from pipeline.state import State
from pipeline.tools import grype, trivy
from pipeline.tools.registry import SCANNERS

RECORDED = Path(__file__).parents[1] / "tools" / "reports"
WHEELS = [scanner for scanner in SCANNERS if scanner.package]
PROGRAMS = [scanner for scanner in SCANNERS if scanner.package is None]
Scan = Callable[..., StageReport]


class Recorded:
    """A runtime that answers with recorded outcomes; a tool without one is not installed."""

    name = "recorded"

    def __init__(self) -> None:
        self.cases: dict[str, str | Outcome] = {scanner.name: "clean" for scanner in WHEELS}
        self.calls: list[Invocation] = []

    @property
    def called(self) -> set[str]:
        return {call.tool for call in self.calls}

    async def version(self, tool: str) -> str | None:
        return "1.0" if tool in self.cases else None  # by command, which is also a name

    async def run(self, invocation: Invocation) -> Outcome:
        if invocation.tool not in self.cases:
            raise ToolNotFound(invocation.tool, "Install it.")
        self.calls.append(invocation)
        case = self.cases[invocation.tool]
        if isinstance(case, Outcome):
            return case
        document = json.loads((RECORDED / invocation.tool / f"{case}.json").read_text())
        files = {name: text.encode() for name, text in document["files"].items()}
        return Outcome(document["exit_code"], document["stdout"], document["stderr"], files, 1.0)


@pytest.fixture
def runtime() -> Recorded:
    return Recorded()


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return Bundle.load(folder("policies"), None, "extend")


def demanding(bundle: Bundle, environment: Environment, names: Sequence[str]) -> Bundle:
    """The bundle with more scanners demanded in an environment."""
    data = copy.deepcopy(dict(bundle.data))
    data["mlifecycle"]["environments"][environment.value]["supply_chain"]["scanners"] += names
    return dataclasses.replace(bundle, data=data)


@dataclass(frozen=True, slots=True)
class Imaged(Release):
    """A release that may have an image, too."""

    image: Mapping[str, Path]


@pytest.fixture
def image(tmp_path: Path, runtime: Recorded) -> dict[str, Path]:
    """An image and databases to read, on a runtime that has every scanner."""
    runtime.cases |= {scanner.name: "clean" for scanner in PROGRAMS}
    names = ["image.tar", *trivy.SCANNER.database, *grype.SCANNER.database]
    for name in names:
        (tmp_path / Path(name).name).write_text(name)
    return {name: tmp_path / Path(name).name for name in names}


@pytest.fixture
def manifest(submit: Callable[..., Manifest]) -> Manifest:
    return submit()


@pytest.fixture
def release(tmp_path: Path) -> Imaged:
    place = tmp_path / "release"
    (place / "server" / "serving").mkdir(parents=True)
    (place / "server" / "serving" / "app.py").write_text("x = 1\n")
    (place / "requirements.lock.txt").write_text("# nothing\n")
    facts = dict.fromkeys(Release.__dataclass_fields__, "") | {"folder": place, "image": {}}
    return Imaged(**facts)  # type: ignore[arg-type]


@pytest.fixture
def run_scan(
    tmp_path: Path, runtime: Recorded, bundle: Bundle, manifest: Manifest, release: Imaged
) -> Scan:
    def run(
        environment: Environment = Environment.LOCAL,
        image: Mapping[str, Path] | None = None,
        demanded: Sequence[str] = (),
    ) -> StageReport:
        runtime.calls.clear()
        state = State(tmp_path / "state")
        context = Context(
            environment=environment,
            bundle=demanding(bundle, environment, demanded),
            engine=RegoCpp(),
            runtime=runtime,
            builder=FolderBuilder(runtime, state),
            state=state,
            run_folder=tmp_path / "run",
            progress=StageProgress(Silent(), "scan"),
        )
        with_image = dataclasses.replace(release, image=image or {})
        return asyncio.run(scan.run(context, manifest, with_image))

    return run


def tool(report: StageReport, name: str) -> ToolReport:
    return next(tool for tool in report.tools if tool.tool == name)


def denials(report: StageReport) -> set[tuple[str, str]]:
    return {(v.id, v.path) for v in report.violations if v.level == "deny"}


def test_a_clean_scan_passes_and_leaves_every_report(run_scan: Scan, tmp_path: Path) -> None:
    report = run_scan()
    assert report.outcome is Ending.PASSED
    assert not denials(report)
    assert report.summary.startswith("6 of 6 scanners ran; findings: 0")
    for scanner in WHEELS:
        assert f"{scanner.name}.json" in report.artifacts
    for place in report.artifacts.values():
        assert (tmp_path / "run" / place).read_text()
    assert set(report.inputs) >= {"server", "submission", "Dockerfile", "requirements.txt"}


def test_defects_deny_once_with_all_their_witnesses(
    run_scan: Scan, runtime: Recorded, tmp_path: Path
) -> None:
    offline = dict.fromkeys(("hadolint", "bandit", "semgrep", "detect-secrets"), "bad")
    runtime.cases |= offline | dict.fromkeys(("pip-audit", "safety"), "vulnerable")
    report = run_scan()
    assert report.outcome is Ending.DENIED
    paths = {path for _, path in denials(report)}
    assert "jinja2" in paths
    assert any(path.startswith("submission/train.py") for path in paths)
    found = json.loads((tmp_path / "run" / "reports" / "findings.json").read_text())["findings"]
    (jinja,) = [finding for finding in found if finding["package"] == "jinja2"]
    assert jinja["tools"] == ["pip-audit", "safety"]
    (shell,) = [
        finding
        for finding in found
        if finding["location"] == {"file": "submission/train.py", "line": 12}
    ]
    assert shell["tools"] == ["bandit", "semgrep"]


def test_a_required_scanner_that_is_missing_denies_and_says_so(
    run_scan: Scan, runtime: Recorded
) -> None:
    del runtime.cases["bandit"]
    report = run_scan()
    assert report.outcome is Ending.DENIED
    assert ("SC-SCN-001", "scan.tools.bandit") in denials(report)
    assert tool(report, "bandit").reason == "bandit is not installed. Install it."
    assert "5 of 6 scanners ran (not run: bandit)" in report.summary


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(1, "", "Traceback\nKeyError: 'x'"),
        Outcome(0, "garbage", ""),
        Outcome(0, "", "", timed_out=True),
    ],
)
def test_a_required_scanner_that_failed_denies(
    run_scan: Scan, runtime: Recorded, outcome: Outcome
) -> None:
    runtime.cases["semgrep"] = outcome
    report = run_scan()
    assert tool(report, "semgrep").status is ToolStatus.NOT_RUN
    assert ("SC-SCN-001", "scan.tools.semgrep") in denials(report)


def test_no_network_passes_locally_with_a_warning_and_denies_in_prod(
    run_scan: Scan, runtime: Recorded
) -> None:
    runtime.cases |= {"pip-audit": "offline", "safety": "offline"}
    report = run_scan()
    assert report.outcome is Ending.PASSED
    assert {v.path for v in report.violations} == {"scan.tools.pip-audit", "scan.tools.safety"}
    assert "as of" in tool(report, "safety").reason
    assert ("SC-SCN-001", "scan.tools.pip-audit") in denials(run_scan(Environment.PROD))


def test_an_unchanged_scan_runs_nothing(run_scan: Scan, runtime: Recorded) -> None:
    runtime.cases["safety"] = "offline"
    first = run_scan()
    second = run_scan()
    assert not runtime.called
    assert second.reused
    assert not first.reused
    assert second.tools == first.tools
    assert second.outputs == first.outputs
    assert second.artifacts == first.artifacts


def test_a_change_runs_only_what_reads_it(
    run_scan: Scan, runtime: Recorded, manifest: Manifest, release: Release
) -> None:
    run_scan()
    (manifest.folder / "train.py").write_text("y = 2\n")
    assert not run_scan().reused
    assert runtime.called == {"bandit", "semgrep", "detect-secrets"}
    release.lock.write_text("# something\n")
    run_scan()
    assert runtime.called == {"pip-audit", "safety"}


def test_a_scanner_that_crashed_is_tried_again(run_scan: Scan, runtime: Recorded) -> None:
    runtime.cases["bandit"] = Outcome(1, "", "KeyError: 'x'")
    run_scan()
    runtime.cases["bandit"] = "clean"
    assert run_scan().outcome is Ending.PASSED
    assert runtime.called == {"bandit"}


def test_the_model_is_left_out_and_listed(
    run_scan: Scan, runtime: Recorded, tmp_path: Path
) -> None:
    report = run_scan()
    left_out = json.loads((tmp_path / "run" / "reports" / "findings.json").read_text())["left_out"]
    assert left_out == {"fraud-detector/model.pt2": "checked by other means"}
    assert "left out: 1" in report.summary


def test_a_program_that_no_wheel_brings_is_used_where_it_is(
    run_scan: Scan, runtime: Recorded
) -> None:
    assert "gitleaks" not in {report.tool for report in run_scan().tools}
    runtime.cases["gitleaks"] = "clean"
    report = run_scan()
    assert runtime.called == {"gitleaks"}
    assert report.summary.startswith("7 of 7 scanners ran")


def test_a_demanded_program_that_is_not_there_denies(run_scan: Scan) -> None:
    report = run_scan(demanded=["gitleaks"])
    assert ("SC-SCN-001", "scan.tools.gitleaks") in denials(report)
    assert tool(report, "gitleaks").reason == "gitleaks is not installed. Install it."


def test_a_demanded_scanner_of_images_denies_where_there_is_no_image(
    run_scan: Scan, runtime: Recorded
) -> None:
    runtime.cases["trivy"] = "clean"
    runtime.cases["trivy-files"] = "clean"
    report = run_scan(demanded=["trivy"])
    assert ("SC-SCN-001", "scan.tools.trivy") in denials(report)
    assert tool(report, "trivy").reason == "there is no image.tar here for it to read"
    assert "trivy" not in runtime.called


def test_an_image_is_read_by_the_scanners_of_images(
    run_scan: Scan, runtime: Recorded, image: dict[str, Path]
) -> None:
    report = run_scan(image=image, demanded=[scanner.name for scanner in PROGRAMS])
    assert report.outcome is Ending.PASSED
    assert report.summary.startswith("11 of 11 scanners ran; findings: 0")
    assert tool(report, "trivy").database is not None
    assert set(report.inputs) >= {"image.tar", "grype-db", "trivy/db/trivy.db"}
    (call,) = [call for call in runtime.calls if call.tool == "grype"]
    assert set(call.inputs) == {"image.tar", "grype-db"}


def test_a_vulnerable_image_denies_once_with_both_witnesses(
    run_scan: Scan, runtime: Recorded, image: dict[str, Path], tmp_path: Path
) -> None:
    runtime.cases |= {"trivy": "bad", "grype": "bad"}
    report = run_scan(image=image)
    assert ("SC-FND-001", "pillow") in denials(report)
    found = json.loads((tmp_path / "run" / "reports" / "findings.json").read_text())["findings"]
    (pillow,) = [f for f in found if f["package"] == "pillow" and f["severity"] == "high"]
    assert pillow["tools"] == ["grype", "trivy"]


@pytest.mark.parametrize("case", ["no-database", "old-database"])
def test_a_demanded_scanner_without_a_fresh_database_denies(
    run_scan: Scan, runtime: Recorded, image: dict[str, Path], case: str
) -> None:
    runtime.cases["grype"] = case
    given = {name: path for name, path in image.items() if name != "grype-db"}
    report = run_scan(image=given, demanded=["grype"])
    assert denials(report) == {("SC-SCN-001", "scan.tools.grype")}
    assert "database" in tool(report, "grype").reason


def test_another_database_is_another_scan(
    run_scan: Scan, runtime: Recorded, image: dict[str, Path]
) -> None:
    run_scan(image=image)
    assert run_scan(image=image).reused
    image["grype-db"].write_text("a newer one")
    run_scan(image=image)
    assert runtime.called == {"grype"}


def test_a_file_name_that_is_no_text(run_scan: Scan, manifest: Manifest) -> None:
    Path(os.fsdecode(os.fsencode(manifest.folder) + b"/\xff.bin")).write_bytes(b"\0")
    assert run_scan().outcome is Ending.PASSED
