from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.findings import ToolStatus
from pipeline.runtimes.interface import Outcome
from pipeline.tools import syft
from pipeline.tools.interface import NoResult
from pipeline.tools.syft import Package

REPORTS = Path(__file__).parent / "reports" / "syft"


def recorded(case: str) -> Outcome:
    document = json.loads((REPORTS / f"{case}.json").read_text())
    files = {name: text.encode() for name, text in document["files"].items()}
    return Outcome(document["exit_code"], document["stdout"], document["stderr"], files)


def changed(name: str, change: Any) -> dict[str, bytes]:
    files = dict(recorded("packages").files)
    document = json.loads(files[name])
    change(document)
    return {**files, name: json.dumps(document).encode()}


def test_packages_are_listed_and_vendored_ones_told_apart() -> None:
    bill = syft.bill(recorded("packages").files)
    assert bill.packages == (
        Package("alpha", "1.0", vendored=False),
        Package("beta", "1.5", vendored=False),
        Package("carrier", "3.0", vendored=False),
        Package("inner", "0.5", vendored=True),
    )
    report = syft.parse(recorded("packages"), "1.18.1")
    assert (report.status, report.audited) == (ToolStatus.RAN, 4)


@pytest.mark.parametrize(
    "outcome",
    [
        recorded("nothing"),
        replace(recorded("packages"), exit_code=1),
        replace(recorded("packages"), timed_out=True),
        replace(recorded("packages"), files={}),
        replace(recorded("packages"), files={syft.CYCLONEDX: b"{", syft.SPDX: b"{}"}),
        replace(recorded("packages"), files={syft.CYCLONEDX: b"[]", syft.SPDX: b"[]"}),
    ],
)
def test_no_bill_is_not_run(outcome: Outcome) -> None:
    report = syft.parse(outcome, "1.18.1")
    assert report.status is ToolStatus.NOT_RUN
    assert report.reason


def test_two_bills_that_differ_are_no_bill() -> None:
    files = changed(syft.SPDX, lambda d: d["packages"][0].update(versionInfo="9.9"))
    with pytest.raises(NoResult, match=r"differ: .*9\.9"):
        syft.bill(files)
    files = changed(syft.SPDX, lambda d: d["packages"].append(d["packages"][0]))
    with pytest.raises(NoResult, match="differ: in number"):
        syft.bill(files)


def test_a_package_without_a_version_is_no_bill() -> None:
    with pytest.raises(NoResult, match="lacks 'version'"):
        syft.bill(changed(syft.CYCLONEDX, lambda d: d["components"][0].pop("version")))


def test_a_package_without_a_place_counts_as_installed() -> None:
    def strip(document: Any) -> None:
        for component in document["components"]:
            component.pop("properties", None)

    bill = syft.bill(changed(syft.CYCLONEDX, strip))
    assert Package("inner", "0.5", vendored=False) in bill.packages


def test_the_call_looks_at_installed_packages_without_the_network() -> None:
    call = syft.invocation(Path("somewhere"))
    assert call.inputs == {"environment": Path("somewhere")}
    assert set(call.outputs) == {syft.CYCLONEDX, syft.SPDX}
    assert not call.network
    assert call.environment["SYFT_CHECK_FOR_APP_UPDATE"] == "false"
