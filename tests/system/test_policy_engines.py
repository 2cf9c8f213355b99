"""OPA itself on the policies: its checks, its tests, its coverage, and whether rego-cpp agrees.

Both engines judge the same generated documents, and their violations are compared one by one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from deployments import deployed
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from manifests import ROOT, SUPPLIED, VALID, governed

from pipeline import manifest as manifests
from pipeline import resources
from pipeline.environment import Environment
from pipeline.policy import judge
from pipeline.policy.bundle import DEPLOYMENT, GOVERNANCE, SUPPLY_CHAIN, Bundle
from pipeline.policy.interface import PolicyFailed
from pipeline.policy.opa import Opa
from pipeline.policy.regocpp import RegoCpp
from pipeline.policy.worker import Policy
from pipeline.runtimes.host import Host

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
PROGRAM = CACHE / "mlifecycle-tests" / "bin" / "opa"
POLICIES = ROOT / "policies"
RULES_ONLY = ("--ignore", "*.yaml", "--ignore", "*.yml")
WAIVER = {
    "owner": "jane.doe",
    "reason": "é: not reachable",
    "expires": "2026-12-31",
    "tool": "bandit",
    "rule": "B104",
    "location": "app.py:12",
}
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]\d+)?")
# Neither shrunk nor printed: that takes minutes, and the message has what matters.
CORPUS = settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    verbosity=Verbosity.quiet,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", autouse=True)
def opa() -> Iterator[Path]:
    """The program, first on the path of tools."""
    if not PROGRAM.is_file():
        pytest.fail(f"There is no {PROGRAM}. Run tests/system/tools/install.sh opa.", pytrace=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLIFECYCLE_TOOLS", str(PROGRAM.parent))
        yield PROGRAM


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROGRAM), *arguments], cwd=POLICIES, capture_output=True, text=True, timeout=300
    )


def test_opa_finds_nothing_to_complain_about() -> None:
    done = run("check", "--strict", ".", *RULES_ONLY)
    assert done.returncode == 0, done.stderr
    assert run("fmt", "--list", ".").stdout == ""


def test_opas_tests_pass_and_cover_every_line() -> None:
    done = run("test", ".", *RULES_ONLY)
    assert done.returncode == 0, done.stdout
    assert "PASS: " in done.stdout
    report = json.loads(run("test", ".", *RULES_ONLY, "--coverage").stdout)
    missed = {name: file.get("not_covered") for name, file in report["files"].items()}
    assert report["coverage"] == 100, {name: lines for name, lines in missed.items() if lines}
    assert {path.name for path in POLICIES.glob("*.rego")} <= set(report["files"])


def test_opa_reads_the_same_annotations() -> None:
    bundle = Bundle.load(POLICIES)
    done = run("inspect", "--annotations", "--format", "json", ".")
    read = [entry["annotations"] for entry in json.loads(done.stdout)["annotations"]]
    theirs = {
        note["custom"]["id"]: (note["title"], note["description"], note["custom"]["remedy"])
        for note in read
        if "custom" in note
    }
    ours = {id: (r.title, r.description, r.remedy) for id, r in bundle.rules.items()}  # noqa: A001
    assert theirs == ours


class Both:
    """The two engines on one package of one bundle."""

    def __init__(self, package: str, waivers: Sequence[Any] = ()) -> None:
        self.bundle = Bundle.load(resources.folder("policies"))
        for environment in self.bundle.data["mlifecycle"]["environments"].values():
            environment["supply_chain"]["waivers"] = list(waivers)
        self.package = package
        query = f"data.{package}.decision"
        self.regocpp = Policy(self.bundle.modules, json.dumps(self.bundle.data), query)
        self.judged = 0

    def compare(self, documents: Sequence[dict[str, Any]]) -> None:
        # All at once: starting OPA takes longer than what it is asked.
        query = f"[d | some c in input.cases; d := data.{self.package}.decision with input as c]"
        cases = {"cases": list(documents)}
        by_opa = anyio.run(Opa(Host()).evaluate, self.bundle, query, cases)
        assert len(by_opa) == len(documents)
        for document, theirs in zip(documents, by_opa, strict=True):
            ours = self.regocpp.evaluate(json.dumps(document, ensure_ascii=False))
            said_by_rego_cpp, said_by_opa = _texts(ours), _texts(theirs)
            if ours["allow"] != theirs["allow"] or said_by_rego_cpp != said_by_opa:
                alone = (
                    sorted(said_by_rego_cpp - said_by_opa),
                    sorted(said_by_opa - said_by_rego_cpp),
                )
                pytest.fail(
                    f"rego-cpp says {ours['allow']} and alone: {alone[0]}\n"
                    f"OPA says {theirs['allow']} and alone: {alone[1]}",
                    pytrace=False,
                )
        self.judged += len(documents)


def _texts(decision: dict[str, Any]) -> set[str]:
    texts = {json.dumps(_rounded(v), sort_keys=True) for v in decision["violations"]}
    assert len(texts) == len(decision["violations"])
    return texts


def _rounded(value: Any) -> Any:
    """rego-cpp writes numbers with fifteen digits; what they are compared with has four."""
    match value:
        case bool():
            return value
        case int() | float():
            return float(f"{value:.12g}") + 0.0
        case str():
            return NUMBER.sub(lambda found: f"{float(found[0]):.12g}", value)
        case list():
            return [_rounded(item) for item in value]
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case _:
            return value


def test_the_engines_agree_on_hundreds_of_manifests() -> None:
    both = Both(GOVERNANCE)

    @settings(CORPUS, max_examples=12)
    @given(st.lists(governed(), min_size=25, max_size=25))
    def corpus(cases: list[dict[str, Any]]) -> None:
        environments = list(Environment)
        both.compare(
            [
                case | {"environment": environments[i % 4].value}
                for i, case in enumerate(cases + cases[::-1])
            ]
        )

    corpus()
    assert both.judged >= 500


def test_the_engines_agree_on_supply_chains() -> None:
    both = Both(SUPPLY_CHAIN, [WAIVER, WAIVER | {"tool": "semgrep"}, WAIVER | {"owner": ""}, 7])

    @settings(CORPUS, max_examples=6)
    @given(st.lists(SUPPLIED, min_size=40, max_size=40))
    def corpus(cases: list[dict[str, Any]]) -> None:
        environments = list(Environment)
        both.compare(
            [case | {"environment": environments[i % 4].value} for i, case in enumerate(cases)]
        )

    corpus()
    assert both.judged >= 200


def test_the_engines_agree_on_rendered_objects() -> None:
    both = Both(DEPLOYMENT)

    @settings(CORPUS, max_examples=12)
    @given(st.lists(deployed(), min_size=25, max_size=25))
    def corpus(cases: list[dict[str, Any]]) -> None:
        environments = [*Environment, Environment.PROD, "mars"]
        both.compare([case | {"environment": environments[i % 6]} for i, case in enumerate(cases)])

    corpus()
    assert both.judged >= 250


def test_the_engines_agree_on_every_example() -> None:
    both = Both(GOVERNANCE)
    paths = sorted([*ROOT.glob("examples/valid/*.yaml"), *ROOT.glob("examples/invalid/MG-*.yaml")])
    serving = {"version": "1.1.0", "metrics": {"accuracy": 0.96, "f1_score": 0.92}}
    both.compare(
        [
            {
                "environment": name,
                "manifest": manifests.load(path).document,
                "catalog": {"serving": s},
            }
            for path in paths
            for name in (Environment.LOCAL, Environment.PROD)
            for s in (None, serving)
        ]
    )


def test_the_engines_reach_the_same_verdict() -> None:
    bundle = Bundle.load(POLICIES)
    document = {"environment": "prod", "manifest": VALID, "catalog": {"serving": None}}
    by_opa = anyio.run(judge, Opa(Host()), bundle, GOVERNANCE, document)
    by_rego_cpp = anyio.run(judge, RegoCpp(), bundle, GOVERNANCE, document)
    assert by_opa.violations == by_rego_cpp.violations
    assert (by_opa.engine, by_rego_cpp.engine) == ("opa", "rego-cpp")


@pytest.mark.parametrize(
    "text",
    [
        "package it\nx := ",
        "package it\nx := nothing.such(1)",
        "package it\nx := 1\nx := 2",
        "package it\nx := lower(input.v)",
        "package it\nx := 1 / 0",
        "package it\nx if false",
        "package it\nx := y\ny := x",
    ],
)
def test_what_fails_in_one_engine_fails_in_the_other(text: str) -> None:
    bundle = Bundle({"it.rego": text}, {}, {}, {}, "sha256:0")
    for engine in (Opa(Host()), RegoCpp()):
        with pytest.raises(PolicyFailed):
            anyio.run(engine.evaluate, bundle, "data.it.x", {"v": 7})
