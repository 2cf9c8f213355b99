"""Every supply chain rule by itself: what is missing, wrong or unknown denies."""

from __future__ import annotations

from typing import Any

import pytest
from judging import ABSENT, BUNDLE, changed, decide, ids

from pipeline.environment import Environment
from pipeline.findings import Finding, Location, Severity, ToolReport, ToolStatus
from pipeline.policy.bundle import SUPPLY_CHAIN

REQUIRED = {
    "local": {"hadolint", "bandit", "semgrep", "detect-secrets"},
    "dev": {"hadolint", "bandit", "semgrep", "detect-secrets"},
    "staging": {"hadolint", "bandit", "semgrep", "detect-secrets", "pip-audit", "safety"},
    "prod": {"hadolint", "bandit", "semgrep", "detect-secrets", "pip-audit", "safety"},
}
REQUIRED_FOR_AN_IMAGE = {
    "local": set(),
    "dev": {"gitleaks", "dockle"},
    "staging": {"gitleaks", "trivy", "trivy-files", "grype", "dockle"},
    "prod": {"gitleaks", "trivy", "trivy-files", "grype", "dockle"},
}
FINDING = Finding(
    tools=("bandit",),
    rule="B104",
    severity=Severity.HIGH,
    message="Binds to all interfaces.",
    location=Location(file="serving/app.py", line=12),
)
IMAGE = "sha256:" + "0" * 64
WAIVER = {
    "owner": "jane.doe",
    "reason": "The socket is behind a firewall.",
    "expires": "2026-12-31",
    "tool": "bandit",
    "rule": "B104",
    "location": "serving/app.py:12",
}


def report(tool: str, status: str = "ran", audited: int = 3) -> dict[str, Any]:
    made = ToolReport(tool=tool, version="1", status=ToolStatus(status), audited=audited)
    return made.model_dump(mode="json")


def scan(environment: str = "local", findings: Any = (), **more: Any) -> dict[str, Any]:
    return {
        "environment": environment,
        "subject": "scan",
        "scan": {
            "image": None,
            "tools": [report(tool) for tool in sorted(REQUIRED[environment])],
            "findings": [finding.model_dump(mode="json") for finding in findings],
        },
        **more,
    }


def image_scan(environment: str) -> dict[str, Any]:
    document: dict[str, Any] = changed(scan(environment), "scan.image", IMAGE)
    reports = [report(tool) for tool in sorted(REQUIRED_FOR_AN_IMAGE[environment])]
    document["scan"]["tools"] += reports
    return document


def lint(environment: str = "local", **more: Any) -> dict[str, Any]:
    return scan(environment, **more) | {"subject": "lint"}


def denials(document: Any, **settings: Any) -> set[tuple[str, str]]:
    settings = {f"supply_chain.{name}": value for name, value in settings.items()}
    decision = decide(SUPPLY_CHAIN, document, settings)
    return {(v["id"], v["path"]) for v in decision["violations"] if v["level"] == "deny"}


def fired(document: Any, level: str = "deny", **settings: Any) -> set[str]:
    settings = {f"supply_chain.{name}": value for name, value in settings.items()}
    decision = decide(SUPPLY_CHAIN, document, settings)
    assert decision["allow"] == (not ids(decision))
    return ids(decision, level)


@pytest.mark.parametrize("environment", Environment)
def test_a_clean_scan_is_allowed(environment: str) -> None:
    assert fired(scan(environment)) == set()
    assert fired(scan(environment), "warn") == set()


@pytest.mark.parametrize("environment", REQUIRED)
def test_each_required_scanner_must_have_looked_at_something(environment: str) -> None:
    for index, tool in enumerate(sorted(REQUIRED[environment])):
        for bad in (
            report(tool, "not run", 0),
            report(tool, "ran", 0),
            {"tool": tool},
            None,
            "ran",
        ):
            document = changed(scan(environment), f"scan.tools.{index}", bad)
            decision = decide(SUPPLY_CHAIN, document)
            (violation,) = decision["violations"]
            assert (violation["id"], violation["path"]) == ("SC-SCN-001", f"scan.tools.{tool}")


@pytest.mark.parametrize("audited", [None, "3", True, -1, [3]])
def test_an_audited_that_is_no_number_above_zero_is_no_run(audited: Any) -> None:
    assert fired(changed(scan(), "scan.tools.0.audited", audited)) == {"SC-SCN-001"}


def test_a_scanner_that_ran_once_and_failed_once_has_not_run() -> None:
    document = scan()
    document["scan"]["tools"].append(report("bandit", "not run", 0))
    assert fired(document) == {"SC-SCN-001"}


def test_a_scanner_that_is_not_required_and_did_not_run_is_shown() -> None:
    document = scan()
    document["scan"]["tools"].append(report("safety", "not run", 0))
    assert fired(document) == set()
    assert fired(document, "warn") == {"SC-SCN-002"}


@pytest.mark.parametrize("environment", Environment)
def test_an_image_needs_more_scanners_and_a_folder_does_not(environment: str) -> None:
    whole = image_scan(environment)
    assert denials(whole) == set()
    for tool in REQUIRED_FOR_AN_IMAGE[environment]:
        others = [each for each in whole["scan"]["tools"] if each["tool"] != tool]
        lacking = changed(whole, "scan.tools", others)
        failed = changed(whole, "scan.tools", [*others, report(tool, "not run", 0)])
        assert denials(lacking) == denials(failed) == {("SC-SCN-001", f"scan.tools.{tool}")}
        assert denials(changed(failed, "scan.image", None)) == set()
        assert fired(changed(failed, "scan.image", None), "warn") == {"SC-SCN-002"}


@pytest.mark.parametrize("image", [ABSENT, "", " ", 7, 0, True, False, [], {}, [IMAGE]])
@pytest.mark.parametrize("subject", ["scan", "lint"])
def test_whether_there_is_an_image_must_be_said(subject: str, image: Any) -> None:
    document = changed(scan("prod") | {"subject": subject}, "scan.image", image)
    assert denials(document) == {("SC-SCN-001", "scan.image")}


@pytest.mark.parametrize("value", [None, "dockle", {"dockle": 1}, True, 7])
def test_an_image_is_denied_without_the_list_of_its_scanners(value: Any) -> None:
    assert denials(image_scan("prod"), image_scanners=value) == {("SC-SCN-001", "scan.tools")}
    assert denials(scan("prod"), image_scanners=value) == set()


@pytest.mark.parametrize("environment", Environment)
def test_a_clean_lint_is_allowed(environment: str) -> None:
    assert fired(lint(environment)) == set()
    assert fired(lint(environment), "warn") == set()


def test_a_lint_misses_no_scanner_of_what_is_not_built() -> None:
    document = lint("prod")
    document["scan"]["tools"] = [report("bandit")]
    assert fired(document) == set()
    assert fired(document, "warn") == set()


def test_a_lint_misses_a_required_scanner_that_was_to_run() -> None:
    for tool in REQUIRED["prod"] - {"bandit"}:
        document = lint("prod")
        for bad in (report(tool, "not run", 0), report(tool, "ran", 0), {"tool": tool}):
            document["scan"]["tools"] = [report("bandit"), bad]
            assert denials(document) == {("SC-SCN-001", f"scan.tools.{tool}")}


@pytest.mark.parametrize(
    "tools", [[], [None], ["bandit"], [report("other", "not run", 0)], [report("x") | {"tool": 7}]]
)
def test_a_lint_in_which_nothing_ran_is_none(tools: list[Any]) -> None:
    assert denials(changed(lint(), "scan.tools", tools)) == {("SC-SCN-001", "scan.tools")}


def test_a_lints_findings_deny_and_are_waived_like_a_scans() -> None:
    document = lint(findings=[FINDING], today="2026-12-31")
    assert fired(document) == {"SC-FND-001"}
    assert fired(document, waivers=[WAIVER]) == set()
    assert fired(document, "warn", waivers=[WAIVER]) == {"SC-WVR-001"}
    assert fired(document, "warn", waivers=[7]) == {"SC-WVR-002"}
    document["scan"]["tools"].append(report("safety", "not run", 0))
    assert fired(document, "warn") == {"SC-SCN-002"}


@pytest.mark.parametrize("value", [ABSENT, None, True, 1, "x", {}])
def test_parts_that_are_missing_or_wrong_deny(value: Any) -> None:
    for document in (scan(), lint()):
        assert fired(changed(document, "scan", value)) == {"SC-SCN-001", "SC-FND-001"}
        assert fired(changed(document, "scan.tools", value)) == {"SC-SCN-001"}
        assert fired(changed(document, "scan.findings", value)) == {"SC-FND-001"}
    inventory = {"subject": "inventory", "environment": "local", "inventory": {}}
    assert fired(changed(inventory, "inventory", value)) == {"SC-INV-001", "SC-INV-002"}


@pytest.mark.parametrize("value", [None, "x", {"x": 1}, True])
def test_settings_that_are_missing_or_wrong_grant_nothing(value: Any) -> None:
    harmless = FINDING.model_copy(update={"severity": Severity.INFO})
    assert fired(scan(), scanners=value) == {"SC-SCN-001"}
    assert fired(lint(), scanners=value) == {"SC-SCN-001"}
    assert fired(scan(findings=[harmless]), block_from=value) == {"SC-FND-001"}
    if value is not True:
        lock = {"subject": "lock", "environment": "local", "locked": False}
        assert fired(lock, lock_required=value) == {"SC-LCK-001"}
    assert fired(scan(findings=[FINDING], today="2026-11-23"), waivers=value) == {"SC-FND-001"}


@pytest.mark.parametrize(
    ("environment", "blocking"),
    [
        ("local", {"high", "critical", "unknown"}),
        ("prod", {"medium", "high", "critical", "unknown"}),
    ],
)
def test_severities_block_by_environment(environment: str, blocking: set[str]) -> None:
    for severity in Severity:
        finding = FINDING.model_copy(update={"severity": severity})
        denied = fired(scan(environment, [finding])) == {"SC-FND-001"}
        assert denied == (severity in blocking), severity


@pytest.mark.parametrize(
    "finding", [None, 1, "x", {}, [], {"severity": "dreadful"}, {"severity": 1}]
)
def test_a_finding_that_cannot_be_read_blocks(finding: Any) -> None:
    document = scan()
    document["scan"]["findings"] = [finding]
    assert fired(document) == {"SC-FND-001"}


def test_a_finding_names_its_place() -> None:
    vulnerable = FINDING.model_copy(update={"location": None, "package": "pillow"})
    nowhere = FINDING.model_copy(update={"location": None})
    decision = decide(SUPPLY_CHAIN, scan(findings=[FINDING, vulnerable, nowhere]))
    assert {violation["path"] for violation in decision["violations"]} == {
        "serving/app.py:12",
        "pillow",
        "scan.findings[2]",
    }


def test_a_waiver_lets_its_finding_through_and_is_shown() -> None:
    document = scan(findings=[FINDING], today="2026-12-31")
    assert fired(document, waivers=[WAIVER]) == set()
    decision = decide(SUPPLY_CHAIN, document, {"supply_chain.waivers": [WAIVER]})
    (violation,) = decision["violations"]
    assert (violation["id"], violation["level"]) == ("SC-WVR-001", "warn")
    assert "jane.doe until 2026-12-31 (The socket is behind a firewall.)" in violation["expected"]


@pytest.mark.parametrize("today", [ABSENT, None, "2027-01-01", "", "tomorrow", 20261231, True])
def test_a_waiver_ends(today: Any) -> None:
    document = scan(findings=[FINDING])
    if today is not ABSENT:
        document["today"] = today
    assert fired(document, waivers=[WAIVER]) == {"SC-FND-001"}
    assert fired(document, "warn", waivers=[WAIVER]) == {"SC-WVR-002"}


@pytest.mark.parametrize("key", WAIVER)
def test_a_waiver_without_one_of_its_parts_is_void(key: str) -> None:
    document = scan(findings=[FINDING], today="2026-11-23")
    for value in (ABSENT, None, "", " ", 7, [], {}):
        waiver = changed(WAIVER, key, value)
        assert fired(document, waivers=[waiver]) == {"SC-FND-001"}, value
    assert fired(document, "warn", waivers=[changed(WAIVER, key, None)]) == {"SC-WVR-002"}


@pytest.mark.parametrize(
    "change",
    [
        {"rule": "B105"},
        {"location": Location(file="serving/app.py", line=13)},
        {"location": Location(file="serving/app.py")},
        {"location": Location(file="app.py", line=12)},
        {"location": None},
        {"package": "pillow"},
        {"tools": ("semgrep",)},
        {"tools": ("bandit", "semgrep")},
        {"tools": ()},
    ],
)
def test_a_waiver_covers_nothing_but_its_own_finding(change: dict[str, Any]) -> None:
    document = scan(findings=[FINDING.model_copy(update=change)], today="2026-11-23")
    assert fired(document, waivers=[WAIVER]) == {"SC-FND-001"}


def test_every_tool_that_saw_a_finding_must_be_waived() -> None:
    seen_by_two = FINDING.model_copy(update={"tools": ("bandit", "semgrep")})
    document = scan(findings=[seen_by_two], today="2026-11-23")
    assert fired(document, waivers=[WAIVER, WAIVER | {"tool": "semgrep"}]) == set()


def test_no_environment_ships_with_a_waiver() -> None:
    for settings in BUNDLE.data["mlifecycle"]["environments"].values():
        assert settings["supply_chain"]["waivers"] == []


@pytest.mark.parametrize("value", [None, 0, 1, "true", [], {}])
def test_a_lock_must_be_known_to_be_there_or_not(value: Any) -> None:
    for environment in Environment:
        lock = {"subject": "lock", "environment": environment, "locked": value}
        assert fired(lock) == {"SC-LCK-001"}


@pytest.mark.parametrize(
    ("environment", "denied"), [("local", False), ("dev", False), ("staging", True), ("prod", True)]
)
def test_staging_and_prod_want_a_lock(environment: str, denied: bool) -> None:
    lock = {"subject": "lock", "environment": environment, "locked": False}
    assert fired(lock) == ({"SC-LCK-001"} if denied else set())
    assert fired(lock | {"locked": True}) == set()


def test_every_difference_of_the_inventory_denies() -> None:
    inventory = {"differences": [], "packages": 30}
    document = {"subject": "inventory", "environment": "local", "inventory": inventory}
    assert fired(document) == set()
    for difference in ({"package": "x", "problem": "not locked"}, None, {}, "x"):
        assert fired(changed(document, "inventory.differences", [difference])) == {"SC-INV-001"}
    for packages in (0, -1, None, "30", True, 1.5):
        assert fired(changed(document, "inventory.packages", packages)) == {"SC-INV-002"}


@pytest.mark.parametrize("subject", [ABSENT, None, "", "scans", 1, ["scan"], {}])
def test_an_unknown_subject_denies(subject: Any) -> None:
    assert fired(changed(scan(), "subject", subject)) == {"SC-SUB-001"}


@pytest.mark.parametrize("environment", ["mars", "", None, 7])
def test_an_unknown_environment_denies(environment: Any) -> None:
    assert "SC-SUB-001" in fired(scan() | {"environment": environment})
