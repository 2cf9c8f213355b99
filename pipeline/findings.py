"""What scanners say, in one form: a `Finding` a defect, a `ToolReport` a scanner's run."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Severity(StrEnum):
    """Ordered from harmless to worst; `unknown` ranks as `high`, because absent is no."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    UNKNOWN = "unknown"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return {"info": 0, "low": 1, "medium": 2, "unknown": 3, "high": 3, "critical": 4}[self]


class Location(BaseModel):
    """Where in the scanned input: a path relative to its root, and a 1-based line if known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    line: int | None = None


class Finding(BaseModel):
    """One defect. Several tools that see the same defect are its witnesses, not more defects.

    `aliases` are the defect's other names: other databases' ids of a vulnerability (CVE, GHSA,
    PYSEC), the weakness class of a code defect (CWE), the other witnesses' rules. By them the
    tools' findings are recognised as the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tools: tuple[str, ...]
    rule: str
    severity: Severity
    message: str
    location: Location | None = None
    package: str | None = None
    installed_version: str | None = None
    fixed_version: str | None = None
    url: str | None = None
    aliases: tuple[str, ...] = ()


class ToolStatus(StrEnum):
    """Whether a tool gave a result that can be relied on."""

    RAN = "ran"
    NOT_RUN = "not run"


class ToolReport(BaseModel):
    """One tool's run.

    `audited` counts what it looked at (files, packages): zero is `not run`. `database` is when the
    vulnerability database that it used was built, if it has one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str
    version: str
    status: ToolStatus
    reason: str = ""
    audited: int = Field(default=0, ge=0)
    findings: tuple[Finding, ...] = ()
    seconds: float = Field(default=0.0, ge=0)
    database: datetime | None = None
