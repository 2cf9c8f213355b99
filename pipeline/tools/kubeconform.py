"""kubeconform: whether Kubernetes objects are what their schemas say."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel

from pipeline.findings import Finding, Location, Severity, ToolReport
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools.interface import NoResult, ToolImage, report_of

NAME = "kubeconform"
PIN = ToolImage(
    "ghcr.io/yannh/kubeconform:v0.8.0"
    "@sha256:faffaf43f95aa6425306e1ab8d6fcad72acb9049158f38e574c085ea1ec0f64e",
    "/kubeconform",
)
OBJECTS = "objects.yaml"
# A folder with one file a kind, `deployment-apps-v1.json`, `service-v1.json`: the strict schemas of
# one version of Kubernetes, each complete in itself, because references to other files are not
# followed. Its folder `custom` has those of kinds that operators bring.
SCHEMAS = "schemas"
_FILE = "{{.ResourceKind}}{{.KindSuffix}}.json"

INVALID = "statusInvalid"
# What it says before the reason, with the schema's place on this machine.
_ASIDE = re.compile(r"^problem validating schema\. .*? validation failed with '[^']*' *-? *")


class _Resource(BaseModel):
    filename: str
    kind: str
    name: str
    version: str
    status: str
    msg: str


class _Summary(BaseModel):
    valid: int
    invalid: int
    errors: int
    skipped: int


class _Report(BaseModel):
    resources: list[_Resource] = []
    summary: _Summary


def invocation(inputs: Mapping[str, Input]) -> Invocation:
    """Validate the objects with the schemas. Unknown fields and keys given twice are errors.

    The only places of schemas are in the folder: without one of its kind an object is an error,
    and the public schemas, which change, are not asked. One at a time, in the order of the file.
    """
    return Invocation(
        tool=NAME,
        command=NAME,
        arguments=(
            *("-strict", "-summary", "-verbose", "-output", "json", "-n", "1"),
            *("-schema-location", f"{SCHEMAS}/{_FILE}"),
            *("-schema-location", f"{SCHEMAS}/custom/{_FILE}"),
            OBJECTS,
        ),
        inputs=inputs,
        timeout=60,
    )


def parse(outcome: Outcome, version: str) -> ToolReport:
    """Read `-output json`; what it audits are objects.

    An object that was skipped, or could not be judged, leaves the whole unjudged.
    """
    return report_of(NAME, version, outcome, _read, exit_codes=(0, 1))


def _read(outcome: Outcome) -> tuple[int, tuple[Finding, ...]]:
    report = _Report.model_validate_json(outcome.stdout)
    counts = report.summary
    if counts.errors:
        errors = [item for item in report.resources if item.status == "statusError"]
        said = "; ".join(f"{_place(item)}: {_reason(item)}" for item in errors)
        raise NoResult(f"it could not judge everything: {said[:300] or 'it does not say what'}")
    if counts.skipped:
        raise NoResult(f"it skipped {counts.skipped} of the objects")
    findings = tuple(_finding(item) for item in report.resources if item.status == INVALID)
    if len(findings) != counts.invalid or bool(counts.invalid) != bool(outcome.exit_code):
        raise NoResult("its summary does not agree with its results")
    return counts.valid + counts.invalid, findings


def _finding(item: _Resource) -> Finding:
    return Finding(
        tools=(NAME,),
        rule="invalid-object",
        severity=Severity.HIGH,
        message=f"{_place(item)}: {_reason(item)}",
        location=Location(file=item.filename),
    )


def _place(item: _Resource) -> str:
    return f"{item.kind} {item.name}".strip() or item.filename


def _reason(item: _Resource) -> str:
    return " ".join(_ASIDE.sub("", item.msg).split())
