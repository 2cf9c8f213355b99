"""gitleaks: keys and tokens in the sources, by the forms that services give them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel, TypeAdapter

from pipeline.findings import Finding, Location, Severity, ToolReport
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools.interface import (
    DOCKERFILE,
    SERVER,
    SUBMISSION,
    NoResult,
    Scanner,
    ToolImage,
    report_of,
)

NAME = "gitleaks"
PIN = ToolImage(
    "zricethezav/gitleaks:v8.30.1"
    "@sha256:c00b6bd0aeb3071cbcb79009cb16a60dd9e0a7c60e2be9ab65d25e6bc8abbb7f",
    "/usr/bin/gitleaks",
)
# Its own rules, and no `.gitleaks.toml` of the submitter's, which it would look for otherwise.
CONFIGURATION = "[extend]\nuseDefault = true\n"
# The rule that goes by a variable's name and a string's disorder guesses; the others know a form.
GUESSES = {"generic-api-key": Severity.MEDIUM}

BYTES = re.compile(r"scanned ~(\d+) bytes")
LEFT_OUT = re.compile(r"skipping (?:file|directory): global allowlist path=(.+)$")
# Permissions, links that lead nowhere: what it wanted to read and could not.
UNREAD = re.compile(r"\b(?:WRN|ERR) (?:skipping|could not|could read|issue reading)")


class _Leak(BaseModel):
    RuleID: str
    Description: str
    File: str
    StartLine: int


_REPORT = TypeAdapter(list[_Leak])


def invocation(inputs: Mapping[str, Input]) -> Invocation:
    """Scan all that is laid out, whatever comments and ignore files say.

    The level `debug` names the files that its own allowlist leaves out. One level further down, it
    would write candidates for secrets into the log.
    """
    return Invocation(
        tool=NAME,
        command="gitleaks",
        arguments=(
            *("dir", ".", "--follow-symlinks", "--no-banner", "--no-color"),
            *("--log-level", "debug", "--redact=100"),
            *("--ignore-gitleaks-allow", "--gitleaks-ignore-path", "/dev/null"),
            *("--report-format", "json", "--report-path", "-", "--exit-code", "0"),
        ),
        inputs=inputs,
        environment={"GITLEAKS_CONFIG_TOML": CONFIGURATION},
        timeout=300,
    )


def parse(outcome: Outcome, version: str) -> ToolReport:
    """Read the report on stdout and, on stderr, the bytes looked at: it counts nothing else."""
    return report_of(NAME, version, outcome, _read)


def _read(outcome: Outcome) -> tuple[int, tuple[Finding, ...]]:
    leaks = _REPORT.validate_json(outcome.stdout)
    scanned = BYTES.search(outcome.stderr)
    if scanned is None or "partial scan" in outcome.stderr:
        raise NoResult("it did not say that it had read everything")
    lines = outcome.stderr.splitlines()
    unread = [line for line in lines if UNREAD.search(line)]
    if unread:
        raise NoResult(f"it could not read everything: {unread[0][:200]}")
    left_out = [match.group(1) for line in lines if (match := LEFT_OUT.search(line))]
    return int(scanned.group(1)), (
        *(_finding(leak) for leak in leaks),
        *(_not_scanned(path) for path in sorted(left_out)),
    )


def _finding(leak: _Leak) -> Finding:
    return Finding(
        tools=(NAME,),
        rule=leak.RuleID,
        severity=GUESSES.get(leak.RuleID, Severity.HIGH),
        message=f"{leak.Description.rstrip('.')}. Revoke it, remove it, and let the program read "
        "its successor from its surroundings.",
        location=Location(file=leak.File, line=leak.StartLine),
        aliases=("CWE-798",),
    )


def _not_scanned(path: str) -> Finding:
    """A file that its rules leave out by its name: not to be taken for scanned."""
    return Finding(
        tools=(NAME,),
        rule="not-scanned",
        severity=Severity.INFO,
        message="gitleaks leaves out files of this name; detect-secrets reads them.",
        location=Location(file=path),
    )


SCANNER = Scanner(
    name=NAME,
    command="gitleaks",
    package=None,
    purpose="finds keys and tokens in the sources and the manifest's folder",
    reads=(SERVER, SUBMISSION, DOCKERFILE),
    invocation=invocation,
    parse=parse,
)
