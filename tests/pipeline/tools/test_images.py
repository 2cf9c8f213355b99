"""The images of tools: which are pinned, and what may be laid over the pins."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.errors import InvalidInput, Problem
from pipeline.resources import folder
from pipeline.tools.images import MADE, PINNED, PINS, load
from pipeline.tools.interface import ToolImage
from pipeline.tools.registry import SCANNERS

DIGEST = "sha256:" + "0123456789abcdef" * 4
OTHER = f"registry.internal:5000/mirror/tool:1.2@{DIGEST}"


@pytest.fixture(scope="module")
def engine() -> ModuleType:
    """How the tests' engine makes its images."""
    path = Path(__file__).parents[2] / "system" / "engine" / "images.py"
    spec = importlib.util.spec_from_file_location("engine_images", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look themselves up there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidInput) as refused:
        load(text, "images.yaml")
    return refused.value.problems


@pytest.mark.parametrize("name", sorted(PINS))
def test_a_pin_has_a_tag_for_people_and_a_digest_for_machines(name: str) -> None:
    pattern = r"[a-z0-9.]+(/[a-z0-9-]+)*:[A-Za-z0-9._-]+@sha256:[0-9a-f]{64}"
    assert re.fullmatch(pattern, PINS[name].reference)


def test_every_scanner_has_an_image_or_is_made() -> None:
    for scanner in SCANNERS:
        image = PINNED.of(scanner.command)
        assert (image is None) == (scanner.command in MADE), scanner.name


def test_what_no_tool_of_ours_is_has_no_image() -> None:
    with pytest.raises(KeyError):
        PINNED.of("docker")


def test_python_is_the_base_of_the_server_s_image() -> None:
    dockerfile = (folder("serving") / "Dockerfile").read_text()
    assert f"\nARG BASE={PINNED.python.reference}\n" in dockerfile


@pytest.mark.parametrize("name", sorted(PINS))
def test_the_tests_engine_has_each_program_where_the_pinned_image_has_it(
    engine: ModuleType, name: str
) -> None:
    if name in engine.PROGRAMS:
        program = engine.PROGRAMS[name]
        repository = PINS[name].reference.partition(":")[0]
        assert program.repository in (repository, f"docker.io/{repository}")
        assert f"/{program.path}" == PINS[name].program
    else:
        assert name in {"python", "uv", "hadolint", *engine.PACKAGES}


def test_the_tests_engine_knows_every_tool_that_is_made(engine: ModuleType) -> None:
    assert set(MADE) < set(engine.PACKAGES)


@pytest.mark.parametrize("text", [json.dumps({"trivy": OTHER}), f"trivy: {OTHER}\n"])
def test_an_image_laid_over_a_pin_has_the_program_at_the_same_place(text: str) -> None:
    found = load(text, "images")
    assert found.of("trivy") == ToolImage(OTHER, "/usr/local/bin/trivy")
    assert found.of("grype") == PINNED.of("grype")
    assert found.references["trivy"] == OTHER


def test_a_tool_that_is_made_may_be_given_an_image() -> None:
    assert load(f"bandit: {OTHER}", "images").of("bandit") == ToolImage(OTHER, "bandit")
    assert load("{}", "images") == PINNED


def test_all_images_of_the_tests_engine_can_be_given() -> None:
    everything = dict.fromkeys((*PINS, *MADE, "crane"), OTHER)
    found = load(json.dumps(everything), "images.json")
    assert {image.reference for image in found.by_name.values()} == {OTHER}


def test_an_unknown_tool_is_named_with_the_one_that_was_meant() -> None:
    (problem,) = problems(f"opa: {OTHER}\ntrivvy: {OTHER}\n")
    assert (problem.file, problem.path, problem.line) == ("images.yaml", "trivvy", 2)
    assert "trivy" in problem.expected
    assert problem.remedy == "Did you mean trivy?"


@pytest.mark.parametrize(
    "reference",
    [
        "aquasec/trivy:0.75.0",
        "aquasec/trivy@sha256:0123",
        f"aquasec/trivy@{DIGEST.upper()}",
        f"two words@{DIGEST}",
        f"'@{DIGEST}'",
        "7",
        "[a]",
    ],
)
def test_an_image_that_is_not_pinned_by_digest_is_refused(reference: str) -> None:
    (problem,) = problems(f"trivy: {reference}\n")
    assert (problem.file, problem.path, problem.line) == ("images.yaml", "trivy", 1)
    assert "by digest" in problem.expected
    assert problem.value
    assert problem.remedy


@pytest.mark.parametrize("text", ["", "- trivy\n", "trivy\n", "\udcff: x\n"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    assert all(problem.file == "images.yaml" for problem in problems(text))


def test_an_image_given_twice_is_refused() -> None:
    (problem,) = problems(f"opa: {OTHER}\nopa: {OTHER}\n")
    assert problem.value == "given again (first on line 1)"


def test_every_problem_is_named_at_once() -> None:
    assert len(problems(f"opa: latest\nuv: latest\nyq: {OTHER}\n")) == 3
