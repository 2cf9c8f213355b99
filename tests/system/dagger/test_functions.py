"""Every function by the command line: what a good manifest gets, and in which words a bad one."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml
from calls import EXAMPLES, dagger, images, message
from conftest import Ask, Call
from small_module import MANIFEST, make, submit

INVALID = EXAMPLES / "invalid"
# What reached a user before errors were put in words.
DUMPS = ("Traceback", "GraphQL", 'File "/', "query {", "sub-exception", "input: ")


@pytest.fixture(scope="session")
def denied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest that the policies deny, by one rule."""
    folder = tmp_path_factory.mktemp("submissions") / "denied"
    return submit(folder, ("accuracy: 0.9608", "accuracy: 0.84"), name="denied")


def in_words(done: Any) -> str:
    """The message of a call that failed, which is for people."""
    said = message(done)
    assert not [dump for dump in DUMPS if dump in said], said
    assert "Traceback" not in done.stderr
    return said


def test_validate_names_model_and_digest(call: Call, good: Path) -> None:
    done = call("validate", "--manifest", good)
    assert done.returncode == 0, done.stderr
    wanted = r"examples/valid/model-manifest.yaml is valid: fraud-detector 1.2.0, sha256:\w{64}\n?"
    assert re.fullmatch(wanted, done.stdout)


def test_validate_names_every_problem_by_line(call: Call, tmp_path: Path) -> None:
    text = (INVALID / "schema-wrong-type.yaml").read_text()
    broken = tmp_path / "broken.yaml"
    broken.write_text(text.replace("f1_score: 0.9189", "f1_score: 91"))
    said = in_words(call("validate", "--manifest", broken, source=tmp_path))
    assert said.startswith("FunctionError: invalid input:\n")
    first, second = (line for line in said.splitlines() if line.startswith("  broken.yaml:"))
    assert re.match(r"  broken.yaml:\d+: spec.metrics.accuracy is \"0.9608\"; expected a nu", first)
    assert re.match(r"  broken.yaml:\d+: spec.metrics.f1_score is 91; expected a number", second)


def test_what_is_no_yaml_is_told_by_line(call: Call, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("kind: ModelDeployment\nmetadata: {name: [\n")
    said = in_words(call("govern", "--manifest", tmp_path / MANIFEST, source=tmp_path))
    assert re.search(r"model-manifest.yaml:\d+: ", said)


def test_a_manifest_that_is_not_there_is_named(call: Call) -> None:
    said = message(call("deploy", "--manifest", "nothing.yaml"))
    assert "nothing.yaml: no such file" in said


def test_an_unknown_environment_is_told_the_known_ones(call: Call, good: Path) -> None:
    said = message(call("--environment", "MARS", "deploy", "--manifest", good))
    assert '"MARS"' in said
    assert "DEV,LOCAL,PROD,STAGING" in said


def test_images_are_known_tools_by_digest(small: Path, good: Path, tmp_path: Path) -> None:
    own = tmp_path / "images.json"
    own.write_text('{"trivvy": "aquasec/trivy:1", "opa": "openpolicyagent/opa:latest"}')
    done = dagger(small, "call", "--images", own, "govern", "--manifest", good)
    said = in_words(done)
    assert "trivvy is an unknown tool" in said
    assert "Did you mean trivy?" in said
    assert 'opa is "openpolicyagent/opa:latest"; expected an image by digest' in said


def test_an_image_out_of_reach_is_named(small: Path, good: Path, tmp_path: Path) -> None:
    own = tmp_path / "images.yaml"
    away = f"127.0.0.1:9/opa@sha256:{'0' * 64}"
    ours = images()
    own.write_text(Path(ours[1]).read_text() if ours else "{}")
    document = yaml.safe_load(own.read_text()) | {"opa": away}
    own.write_text(yaml.safe_dump(document))
    said = in_words(dagger(small, "call", "--images", own, "govern", "--manifest", good))
    assert f"Its image {away} cannot be had" in said
    assert "--images" in said


JUDGED = """
{
  good: mlifecycle(source: $good, images: $images) { govern(manifest: $right) { ...verdict } }
  denied: mlifecycle(source: $denied, images: $images) {
    govern(manifest: $wrong) {
      ...verdict
      sarif: report(format: SARIF) { name contents }
      junit: report(format: JUNIT) { name contents }
      markdown: report(format: MARKDOWN) { name contents }
      json: report(format: JSON) { name contents }
    }
  }
}

fragment verdict on MlifecycleVerdict {
  allowed policyDigest summary
  violations { rule title level path actual expected remedy }
}
"""


@pytest.fixture(scope="module")
def verdicts(ask: Ask, good: Path, denied: Path) -> dict[str, dict[str, Any]]:
    folders = {"good": good.parent, "denied": denied.parent}
    answers = ask(JUDGED, folders=folders, files={"right": good, "wrong": denied})
    return {name: answer["govern"] for name, answer in answers.items()}


def test_govern_lets_a_good_manifest_in(verdicts: dict[str, dict[str, Any]]) -> None:
    verdict = verdicts["good"]
    assert verdict["allowed"]
    assert verdict["violations"] == []
    assert re.fullmatch(r"sha256:\w{64}", verdict["policyDigest"])
    assert "govern: yes" in verdict["summary"]


def test_govern_says_which_rule_is_not_met_and_how_to_meet_it(
    verdicts: dict[str, dict[str, Any]],
) -> None:
    verdict = verdicts["denied"]
    assert not verdict["allowed"]
    (violation,) = verdict["violations"]
    assert violation["rule"] == "MG-ACC-001"
    assert violation["level"] == "deny"
    assert violation["path"] == "spec.metrics.accuracy"
    assert violation["actual"] == "0.84"
    assert "0.85" in violation["expected"]
    assert violation["title"]
    assert violation["remedy"] in verdict["summary"]


def test_every_form_of_report_names_the_rule(verdicts: dict[str, dict[str, Any]]) -> None:
    verdict = verdicts["denied"]
    files = {form: verdict[form]["contents"] for form in ("sarif", "junit", "markdown", "json")}
    (run,) = json.loads(files["sarif"])["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["MG-ACC-001"]
    suite = ET.fromstring(files["junit"])  # noqa: S314 - our own report
    (failure,) = suite.iter("failure")
    assert "MG-ACC-001" in ET.tostring(failure, encoding="unicode")
    assert "MG-ACC-001" in files["markdown"]
    assert json.loads(files["json"])["outcome"] == "denied"
    assert verdict["sarif"]["name"].endswith(".sarif")


def test_a_no_is_the_whole_report_and_the_command_again(call: Call, denied: Path) -> None:
    said = in_words(call("deploy", "--manifest", denied, source=denied.parent))
    assert "deny MG-ACC-001" in said
    assert "deploy: no" in said
    assert "dagger call -m MODULE" in said
    again = re.search(r"reproduce +(.*)", said)
    assert again
    assert "deploy --manifest model-manifest.yaml" in again[1]


def test_a_no_leaves_its_evidence(call: Call, denied: Path, tmp_path: Path) -> None:
    options = ("--manifest", denied, "-o", tmp_path / "evidence")
    done = call("evidence", *options, source=denied.parent)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "evidence" / "record.json").read_text())
    assert record["outcome"] == "denied"
    assert [stage["stage"] for stage in record["stages"]] == ["validate", "govern"]
    assert "MG-ACC-001" in (tmp_path / "evidence" / "summary.txt").read_text()
    assert "MG-ACC-001" in (tmp_path / "evidence" / "summary.md").read_text()
    reports = {path.name for path in (tmp_path / "evidence" / "reports").iterdir()}
    assert {"mlifecycle.sarif", "junit.xml"} <= reports


def test_an_index_out_of_reach_is_named(call: Call, good: Path) -> None:
    options = ["--package-index", "http://127.0.0.1:9/simple/"]
    said = in_words(call(*options, "build", "--manifest", good, "digest", source=good.parent))
    assert "http://127.0.0.1:9/simple/" in said
    assert "--package-index" in said


def test_the_doctor_finds_every_tool(call: Call) -> None:
    done = call("doctor")
    assert done.returncode == 0, done.stderr
    assert "MISSING" not in done.stdout
    assert done.stdout.rstrip().endswith("Everything is here.")
    found = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("ok")}
    assert {"opa", "trivy", "grype", "syft", "hadolint", "dockle", "gitleaks", "bandit"} <= found


def test_dagger_check_judges_every_manifest_of_the_repository(denied: Path, tmp_path: Path) -> None:
    module = make(tmp_path)
    if ours := images():
        # A check takes no options: Dagger reads a module's defaults from here.
        (module / ".env").write_text(f"MLIFECYCLE_IMAGES={ours[1]}\n")
    done = dagger(module, "check")
    assert done.returncode == 0, done.stderr
    shutil.copytree(denied.parent, module / "second")
    shutil.copy(INVALID / "schema-wrong-type.yaml", module / "third.yml")
    said = in_words(dagger(module, "check", "manifests"))
    assert f"govern --manifest second/{MANIFEST}" in said
    assert "MG-ACC-001" in said
    assert "third.yml:" in said
    assert "examples/" not in said
    for path in ("second", "examples"):
        shutil.rmtree(module / path)
    (module / "third.yml").write_text("replicas: 2\n")
    said = in_words(dagger(module, "check"))
    assert "at least one YAML file with kind: ModelDeployment" in said
