"""Each examples/invalid/MG-*.yaml is well-formed, and denied by the rule it is named for."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from judging import BUNDLE, EXAMPLES, decide, ids

from pipeline import manifest as manifests
from pipeline.policy.bundle import GOVERNANCE
from pipeline.verdict import Level

FOLDER = EXAMPLES / "invalid"
FILES = sorted(FOLDER.glob("MG-*.yaml"))
# No manifest can break it: the environment is an option of the command.
NOT_ABOUT_MANIFESTS = {"MG-ENV-001"}


@pytest.fixture(scope="module")
def make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_invalid_examples", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_there_is_one_for_every_rule_that_denies_manifests() -> None:
    rules = {
        rule.id
        for rule in BUNDLE.rules.values()
        if rule.id.startswith("MG-") and rule.severity is Level.DENY
    }
    assert {path.stem for path in FILES} == rules - NOT_ABOUT_MANIFESTS


def test_they_are_up_to_date(make: ModuleType) -> None:
    for path in FILES:
        assert path.read_text() == make.made(path.stem), "run examples/invalid/make.py"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_is_denied_for_its_rule_alone(path: Path, make: ModuleType) -> None:
    mistake = make.MISTAKES[path.stem]
    serving = None
    if mistake.serving is not None:
        version, accuracy, f1_score = mistake.serving
        serving = {"version": version, "metrics": {"accuracy": accuracy, "f1_score": f1_score}}
    document = {
        "environment": mistake.environment,
        "manifest": manifests.load(path).document,
        "catalog": {"serving": serving},
    }
    decision = decide(GOVERNANCE, document)
    assert ids(decision) == {path.stem}
    assert not decision["allow"]
    if mistake.serving is not None:
        document["catalog"]["serving"] = None
        assert decide(GOVERNANCE, document)["allow"]
