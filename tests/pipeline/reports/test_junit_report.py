from __future__ import annotations

from xml.etree import ElementTree as Xml

from pipeline.record import Outcome, RunRecord
from pipeline.reports import junit


def cases(record: RunRecord) -> dict[str, Xml.Element]:
    root = Xml.fromstring(junit.render(record))  # noqa: S314 - written by us just now
    assert root.tag == "testsuites"
    return {case.attrib["name"]: case for case in root.iter("testcase")}


def test_stages_and_scanners_are_cases(record: RunRecord) -> None:
    found = cases(record)
    assert list(found) == ["govern", "scan", "bandit 1.9.4", "safety 3.8.1", "pip-audit 2.10.1"]
    assert found["govern"].find("failure") is None
    assert found["scan"].attrib["time"] == "3.250"


def test_a_no_is_a_failure_that_says_what_to_do(record: RunRecord) -> None:
    failure = cases(record)["scan"].find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "SC-VUL-001"
    assert "Upgrade jinja2 to 2.11.3." in str(failure.text)


def test_a_scanner_that_did_not_run_is_skipped_with_its_reason(record: RunRecord) -> None:
    skipped = cases(record)["pip-audit 2.10.1"].find("skipped")
    assert skipped is not None
    assert "no network" in skipped.attrib["message"]


def test_the_counts_are_those_of_the_cases(record: RunRecord) -> None:
    suite = Xml.fromstring(junit.render(record))[0]  # noqa: S314
    counts = {name: suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "5", "failures": "1", "errors": "0", "skipped": "1"}


def test_a_broken_tool_is_an_error(record: RunRecord) -> None:
    stage = record.stages[0].model_copy(update={"outcome": Outcome.FAILED})
    broken = record.model_copy(update={"stages": (stage,), "error": "disk full"})
    assert cases(broken)["govern"].find("error") is not None
    assert cases(broken)["run"].find("error") is not None


def test_hostile_text_is_well_formed_xml(hostile: RunRecord) -> None:
    failure = cases(hostile)["scan"].find("failure")
    assert failure is not None
    assert "\x1b" not in str(failure.text)
    assert "<script>" in str(failure.text)
