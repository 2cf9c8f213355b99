"""From a policy's answer to a verdict. What cannot be decided is a no, with a name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from pipeline.policy.annotations import Rule
from pipeline.policy.bundle import Bundle
from pipeline.policy.interface import Engine, PolicyFailed
from pipeline.verdict import Level, Verdict, Violation

UNDECIDED = Rule(
    id="MG-ENG-001",
    title="The policies give a decision",
    description=(
        "Policies that do not compile, fail, run away, or answer with something that is no "
        "decision have not said yes."
    ),
    severity=Level.DENY,
    remedy="Correct the policy that is named; `opa check` and `opa eval` help to find out more.",
    module="",
    line=0,
)


class _Answer(BaseModel):
    """A violation as a policy states it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    level: Level
    path: str
    actual: JsonValue
    expected: str


class _Decision(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    allow: bool
    violations: list[JsonValue]


async def judge(
    engine: Engine, bundle: Bundle, package: str, document: Mapping[str, Any]
) -> Verdict:
    """The verdict of `package` (`mlifecycle.governance`) and its extensions on `document`.

    It is a yes only when the decision says so and nothing denies, the extensions' rules included.
    """
    violations: list[Violation] = []
    allowed = False
    try:
        query = f"data.{package}.decision"
        decision = _decision(query, await engine.evaluate(bundle, query, document))
        violations += _violations(bundle, query, decision.violations)
        allowed = decision.allow
        for extension in bundle.extensions.get(package, ()):
            query = f"data.{extension}.violations"
            answer = await engine.evaluate(bundle, query, document)
            violations += _violations(bundle, query, answer)
        denied = any(violation.level is Level.DENY for violation in violations)
        if not allowed and not denied:
            raise PolicyFailed(f"{package} denies and names no violation")
        allowed = allowed and not denied
    except PolicyFailed as error:
        allowed = False
        violations.append(_undecided(package, error))
    return Verdict(
        allowed=allowed,
        violations=tuple(sorted(violations, key=_order)),
        policy_digest=bundle.digest,
        engine=engine.name,
    )


def _order(violation: Violation) -> tuple[bool, str, str, str]:
    return (violation.level is not Level.DENY, violation.id, violation.path, repr(violation.actual))


def _decision(query: str, answer: Any) -> _Decision:
    try:
        return _Decision.model_validate(answer)
    except ValidationError as error:
        raise PolicyFailed(f"{query} is no decision: {_first(error)}") from None


def _violations(bundle: Bundle, query: str, answers: Any) -> list[Violation]:
    if not isinstance(answers, list):
        raise PolicyFailed(f"{query} is no set or list of violations")
    found = []
    for answer in answers:
        try:
            stated = _Answer.model_validate(answer)
        except ValidationError as error:
            raise PolicyFailed(f"{query} has a violation that is none: {_first(error)}") from None
        rule = bundle.rules.get(stated.id)
        found.append(
            Violation(
                id=stated.id,
                title=rule.title if rule else stated.id,
                level=stated.level,
                path=stated.path,
                actual=_writable(stated.actual),
                expected=stated.expected,
                remedy=rule.remedy if rule else "Ask whoever wrote this policy.",
            )
        )
    return found


def _writable(value: JsonValue) -> JsonValue:
    """`value` with text for what JSON cannot write: rego-cpp rounds the largest floats up."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case list():
            return [_writable(item) for item in value]
        case dict():
            return {key: _writable(item) for key, item in value.items()}
        case _:
            return value


def _undecided(package: str, error: PolicyFailed) -> Violation:
    return Violation(
        id=UNDECIDED.id,
        title=UNDECIDED.title,
        path=package,
        actual=str(error),
        expected="a decision",
        remedy=UNDECIDED.remedy,
    )


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(step) for step in problem["loc"])
    return f"{place}: {problem['msg']}" if place else str(problem["msg"])
