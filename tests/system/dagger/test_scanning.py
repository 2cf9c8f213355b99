"""The real scanners on planted defects: what they find denies, and so does what none looked at.

The vulnerability databases are small ones, made on the spot, in the real tools' own formats.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from calls import EXAMPLES, message
from conftest import Ask, Call, Databases, made
from planted_defects import AWS_KEY
from small_module import make, submit

# A version that both databases know a hole of, and whose wheel any Python takes.
VULNERABLE = ('    - "joblib>=1.4"\n', '    - "joblib>=1.4"\n    - "jinja2==2.10"\n')
ALLOWED = "dependencies: {allowed: {joblib: [], jinja2: []}}\n"
MODEL = EXAMPLES / "valid" / "fraud-detector" / "model.pt2"

SCANNED = """
{
  mlifecycle(source: $folder, images: $images, environment: %s, %s) {
    scan(manifest: $manifest) { ...report }
  }
}
"""
REPORT = """
fragment report on MlifecycleScanReport {
  passed summary
  findings {
    tools rule severity message file line package installedVersion fixedVersion url
  }
  reports { entries }
  report { name contents }
}
"""
WITH_DATABASES = "trivyDb: $trivy, grypeDb: $grype"


def scanned(
    ask: Ask,
    manifest: Path,
    databases: Databases,
    environment: str = "LOCAL",
    module: Path | None = None,
    policies: Path | None = None,
) -> dict[str, Any]:
    more = WITH_DATABASES + (", policies: $policies" if policies else "")
    folders = {"folder": manifest.parent} | ({"policies": policies} if policies else {})
    files = {"manifest": manifest} | databases.files
    query = SCANNED % (environment, more) + REPORT
    answer = ask(query, module=module, folders=folders, files=files)
    return dict(answer["mlifecycle"]["scan"])


@pytest.fixture(scope="module")
def vulnerable(ask: Ask, databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Any:
    room = tmp_path_factory.mktemp("vulnerable")
    policies = room / "policies"
    (policies / "data").mkdir(parents=True)
    (policies / "data" / "local.yaml").write_text(ALLOWED)
    manifest = submit(room / "mine", VULNERABLE, name="vulnerable", locked=False)
    return scanned(ask, manifest, databases, policies=policies)


def test_a_vulnerable_package_denies(vulnerable: Any) -> None:
    assert not vulnerable["passed"]
    assert "deny SC-FND-001" in vulnerable["summary"]
    assert "scan: no" in vulnerable["summary"]


def test_two_tools_that_see_one_hole_are_two_witnesses(vulnerable: Any) -> None:
    (found,) = (each for each in vulnerable["findings"] if each["package"].lower() == "jinja2")
    assert {"trivy", "grype"} <= set(found["tools"])
    assert found["severity"] == "high"
    assert (found["installedVersion"], found["fixedVersion"]) == ("2.10", "2.10.1")
    assert found["message"]


def test_every_scanner_leaves_its_own_report(vulnerable: Any) -> None:
    assert {"trivy.json", "grype.json", "dockle.json"} <= set(vulnerable["reports"]["entries"])
    report = json.loads(vulnerable["report"]["contents"])
    results = [result["ruleId"] for run in report["runs"] for result in run["results"]]
    assert any(rule in ("CVE-2019-10906", "GHSA-462w-v97r-4m45") for rule in results)


def test_nothing_is_found_where_nothing_is_planted(
    ask: Ask, good: Path, databases: Databases
) -> None:
    report = scanned(ask, good, databases, "DEV")
    assert report["passed"], report["summary"]
    assert not [found for found in report["findings"] if found["installedVersion"]]
    assert not [tool for tool in ("trivy", "grype") if f"scan.tools.{tool}" in report["summary"]]


def for_production(folder: Path) -> Path:
    """A submission that the governance of production lets in."""
    digest = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    uri = "    uri: fraud-detector/model.pt2\n"
    return submit(folder, (uri, f"{uri}    digest: sha256:{digest}\n"), name="strict")


def test_an_old_database_vouches_for_nothing(ask: Ask, tmp_path: Path) -> None:
    old = made(tmp_path, timedelta(days=6))
    report = scanned(ask, for_production(tmp_path / "mine"), old, "STAGING")
    assert not report["passed"]
    for tool in ("trivy", "grype"):
        said = report["summary"].partition(f"where     scan.tools.{tool}\n")[2]
        assert "6 days before the scan" in said.partition("expected")[0]


def test_production_is_closed_to_what_no_scanner_has_seen(call: Call, tmp_path: Path) -> None:
    manifest = for_production(tmp_path / "mine")
    options = ["--environment", "PROD", "--trivy-db-repository", "127.0.0.1:9/none"]
    said = message(call(*options, "deploy", "--manifest", manifest, source=manifest.parent))
    denied = said.split("deny SC-SCN-001")[1:]
    for tool in ("trivy", "grype"):
        (about,) = (each for each in denied if f"where     scan.tools.{tool}\n" in each)
        assert "it has no vulnerability database" in about
    assert "deploy: no" in said


LINTED = """
{
  good: mlifecycle(source: $good, images: $images, environment: DEV) {
    lint(manifest: $right) { ...report }
  }
  planted: mlifecycle(source: $planted, images: $images, environment: DEV) {
    lint(manifest: $wrong) { ...report }
  }
}
"""


def test_a_key_beside_the_manifest_denies_and_is_not_repeated(
    ask: Ask, good: Path, tmp_path: Path
) -> None:
    manifest = submit(tmp_path / "planted", name="planted")
    (manifest.parent / "upload.py").write_text(f'\nAWS_ACCESS_KEY_ID = "{AWS_KEY}"\n')
    (manifest.parent / ".gitleaks.toml").write_text("[allowlist]\npaths = ['.*']\n")
    folders = {"good": good.parent, "planted": manifest.parent}
    files = {"right": good, "wrong": manifest}
    answers = ask(LINTED + REPORT, folders=folders, files=files)
    assert answers["good"]["lint"]["passed"]
    report = answers["planted"]["lint"]
    assert not report["passed"]
    keys = [found for found in report["findings"] if found["file"].endswith("upload.py")]
    assert "gitleaks" in {tool for found in keys for tool in found["tools"]}
    assert {found["line"] for found in keys} == {2}
    assert AWS_KEY not in json.dumps(answers)


def test_a_bad_dockerfile_is_found_by_its_text_and_by_its_image(
    ask: Ask, databases: Databases, tmp_path: Path
) -> None:
    module = make(tmp_path / "module")
    dockerfile = module / "serving" / "Dockerfile"
    text = dockerfile.read_text()
    assert text.count("\nUSER 10001:10001\n") == 1
    more = "\nADD settings.json /release/settings.json\nUSER root\n"
    dockerfile.write_text(text.replace("\nUSER 10001:10001\n", more))
    manifest = module / "examples" / "valid" / "model-manifest.yaml"
    report = scanned(ask, manifest, databases, "DEV", module)
    assert not report["passed"]
    found = {(tool, each["rule"]) for each in report["findings"] for tool in each["tools"]}
    assert {("hadolint", "DL3020"), ("hadolint", "DL3002"), ("dockle", "CIS-DI-0001")} <= found
