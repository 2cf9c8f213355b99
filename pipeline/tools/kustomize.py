"""kustomize: puts a base, an overlay and a model's own values together into one YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools.interface import NoResult, ToolImage

NAME = "kustomize"
PIN = ToolImage(
    "registry.k8s.io/kustomize/kustomize:v5.8.1"
    "@sha256:899fcd3bc898160e62bcaf82932b0cb29ba38d16272353db2e7acbba82129429",
    "/app/kustomize",
)
OBJECTS = "objects.yaml"
_ERROR = re.compile(r"^Error: ", re.MULTILINE)


def build(inputs: Mapping[str, Input], folder: str) -> Invocation:
    """Build `folder`, which is one of the inputs or lies in one of them.

    Nothing is fetched: bases and components lie in the inputs, and without the network an address
    among them is an error.
    """
    return Invocation(
        tool=NAME,
        command=NAME,
        arguments=("build", folder, "--output", OBJECTS),
        inputs=inputs,
        outputs=(OBJECTS,),
        timeout=60,
    )


def objects(outcome: Outcome) -> tuple[bytes, int]:
    """The YAML as kustomize wrote it, and how many objects are in it.

    Raises NoResult when it failed or wrote anything that is no object.
    """
    if outcome.timed_out:
        raise NoResult("it was ended at its time limit")
    if outcome.exit_code:
        raise NoResult(complaint(outcome))
    data = outcome.files.get(OBJECTS, b"")
    try:
        found = list(yaml.safe_load_all(data))
    except yaml.YAMLError as error:
        raise NoResult(f"what it wrote is no YAML: {error}") from error
    if not found:
        raise NoResult("it wrote no objects")
    if not all(isinstance(item, dict) and "kind" in item for item in found):
        raise NoResult("what it wrote are not all Kubernetes objects")
    return data, len(found)


def complaint(outcome: Outcome) -> str:
    """Why kustomize failed, in its words, of which the end says most. Warnings come before."""
    said = _ERROR.split(outcome.stderr)[-1] or outcome.stdout
    error = " ".join(said.split())
    if len(error) > 400:
        error = f"… {error[-400:]}"
    return error or f"exit code {outcome.exit_code}"
