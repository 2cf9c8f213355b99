"""What is in a bundle, and what of a user's own is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from judging import BUNDLE

from pipeline import resources
from pipeline.environment import Environment
from pipeline.errors import InvalidInput
from pipeline.policy.bundle import Bundle

OURS = resources.folder("policies")


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def problems(*args: Any, **named: Any) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        Bundle.load(*args, **named)
    return [str(problem) for problem in caught.value.problems]


def annotated(rule: str) -> str:
    return (
        f"# METADATA\n# title: T\n# description: D\n# custom:\n#   id: {rule}\n"
        "#   severity: deny\n#   remedy: R\n"
    )


def test_ours_has_the_rules_and_every_environment_but_no_tests() -> None:
    assert {"lib.rego", "model_governance.rego", "supply_chain.rego"} <= set(BUNDLE.modules)
    assert not [name for name in BUNDLE.modules if name.endswith("_test.rego")]
    assert set(BUNDLE.data["mlifecycle"]["environments"]) == set(Environment)
    assert BUNDLE.extensions == {}


def test_every_id_in_a_rule_is_annotated_in_its_file_and_the_other_way_round() -> None:
    stated: set[tuple[str, str]] = set()
    for name, text in BUNDLE.modules.items():
        code = "\n".join(line for line in text.splitlines() if not line.strip().startswith("#"))
        stated |= {(name, rule) for rule in re.findall(r'"((?:MG|SC|KD)-[A-Z0-9]+-\d{3})"', code)}
    assert stated == {(rule.module, rule.id) for rule in BUNDLE.rules.values()}


def test_a_rule_states_the_level_that_its_annotation_says() -> None:
    for text in BUNDLE.modules.values():
        for level, rule in re.findall(r'\("(deny|warn)", "([A-Z0-9-]+)"', text):
            assert BUNDLE.rules[rule].severity == level


def test_the_digest_covers_modules_and_data_and_nothing_else(tmp_path: Path) -> None:
    files = {"a.rego": "package a\n", "data/local.yaml": "a: 1\n", "data/dev.yaml": "a: 1\n"}
    first = Bundle.load(write(tmp_path / "1", files)).digest
    more = {"a_test.rego": "broken", "semgrep/x.yml": "rules: []", "README.md": "", "x/y.json": "{"}
    assert Bundle.load(write(tmp_path / "2", files | more)).digest == first
    for name, text in [("a.rego", "package b\n"), ("data/dev.yaml", "a: 2\n"), ("b.rego", "")]:
        changed = write(tmp_path / f"3{name}".replace("/", "-"), files | {name: text})
        assert Bundle.load(changed).digest != first


def test_an_extension_adds_rules_and_lays_its_data_over_ours(tmp_path: Path) -> None:
    extra = write(
        tmp_path,
        {
            "deep/names.rego": "# why\n\npackage mlifecycle.extensions.governance.names # so\n",
            "scan.rego": "package mlifecycle.extensions.supply_chain.more\n",
            "pods.rego": "package mlifecycle.extensions.deployment.pods\n",
            "lib.rego": "package mlifecycle.extensions.lib.words\n",
            "names_test.rego": "package anything\n",
            "data/prod.yaml": "metrics: {accuracy: {minimum: 0.9}}\nmodel: {frameworks: [onnx]}\n",
        },
    )
    bundle = Bundle.load(OURS, extra)
    assert bundle.extensions == {
        "mlifecycle.governance": ("mlifecycle.extensions.governance.names",),
        "mlifecycle.supply_chain": ("mlifecycle.extensions.supply_chain.more",),
        "mlifecycle.deployment": ("mlifecycle.extensions.deployment.pods",),
    }
    assert set(bundle.modules) > set(BUNDLE.modules)
    prod = bundle.data["mlifecycle"]["environments"]["prod"]
    assert prod["metrics"]["accuracy"] == {"minimum": 0.9}
    assert prod["metrics"]["f1_score"] == {"minimum": 0.8}
    assert prod["model"]["frameworks"] == ["onnx"]
    assert (
        bundle.data["mlifecycle"]["environments"]["dev"]
        == (BUNDLE.data["mlifecycle"]["environments"]["dev"])
    )
    assert bundle.digest != BUNDLE.digest


@pytest.mark.parametrize(
    "package",
    [
        "mlifecycle.governance",
        "mlifecycle.supply_chain",
        "mlifecycle.lib",
        "mlifecycle.extensions",
        "mlifecycle.extensions.names",
        "mlifecycle.extensions.governance",
        "mlifecycle.extensions.governance.a.b",
        'mlifecycle["governance"]',
        "bank",
    ],
)
def test_an_extension_cannot_get_into_our_packages(tmp_path: Path, package: str) -> None:
    write(tmp_path, {"x.rego": f"package {package}\n"})
    (problem,) = problems(OURS, tmp_path)
    assert package in problem
    assert "mlifecycle.extensions.governance.NAME" in problem


def test_a_comment_is_no_package(tmp_path: Path) -> None:
    text = "# package mlifecycle.extensions.governance.names\npackage mlifecycle.governance\n"
    write(tmp_path, {"x.rego": text})
    assert len(problems(OURS, tmp_path)) == 1


def test_replace_takes_nothing_of_ours(tmp_path: Path) -> None:
    write(tmp_path, {"x.rego": "package mlifecycle.governance\n", "data/local.yaml": "a: 1\n"})
    bundle = Bundle.load(OURS, tmp_path, "replace")
    assert set(bundle.modules) == {"x.rego"}
    assert bundle.data == {"mlifecycle": {"environments": {"local": {"a": 1}}}}
    assert bundle.rules == {}


def test_an_unknown_mode_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="mode"):
        Bundle.load(OURS, OURS, "add")


@pytest.mark.parametrize("mode", ["extend", "replace"])
def test_a_folder_that_is_none_is_refused(tmp_path: Path, mode: str) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "absent", tmp_path / "file"):
        (problem,) = problems(OURS, path, mode)
        assert str(path) in problem


def test_everything_unreadable_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_bytes(b"package \xff")
    (tmp_path / "b.rego").write_bytes(b"package mlifecycle.extensions.lib.b\n\0x := 1")
    found = problems(OURS, tmp_path)
    assert len(found) == 2
    assert "NUL" in found[1]


def test_an_id_can_be_used_once(tmp_path: Path) -> None:
    text = (
        "package mlifecycle.extensions.governance.x\n"
        + annotated("MG-ACC-001")
        + "violations := []"
    )
    write(tmp_path, {"x.rego": text})
    (problem,) = problems(OURS, tmp_path)
    assert "MG-ACC-001" in problem
    assert "model_governance.rego" in problem


def test_an_annotation_that_cannot_be_read_is_refused_with_its_line(tmp_path: Path) -> None:
    text = "package mlifecycle.extensions.governance.x\n\n"
    write(tmp_path, {"x.rego": text + annotated("B-1").replace("deny", "stop")})
    write(tmp_path, {"y.rego": text + annotated("B-2").replace("#   remedy: R\n", "")})
    write(tmp_path, {"z.rego": text + annotated("B-3").replace("title: T", "title: [")})
    found = problems(OURS, tmp_path)
    assert [problem.split(":", 2)[:2] for problem in found] == [
        ["extensions/x.rego", "3"],
        ["extensions/y.rego", "3"],
        ["extensions/z.rego", "3"],
    ]
