"""What a release must show before it gets traffic: right answers, few errors, fast enough.

The same questions can be asked of a candidate and of what serves.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from pipeline.manifest import Manifest
from pipeline.manifest.values import seconds
from pipeline.targets.interface import Client, Reply
from pipeline.verdict import Violation

# Enough that one request the machine delayed does not decide about the 99th percentile.
REQUESTS = 100
LONGEST = 10.0
TOLERANCE = 0.001
# Where what was asked wrote down why it failed.
LOG = "`mlifecycle logs`, or in containers `dagger call … serve --manifest … up`"


@dataclass(frozen=True, slots=True)
class Golden:
    """One input whose answer is known. `tolerance` is absolute, for each probability."""

    name: str
    instance: dict[str, Any]
    prediction: str
    probabilities: dict[str, float] | None = None
    tolerance: float = TOLERANCE


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the manifest promises. `latency_p99` is in seconds; None leaves a limit out."""

    golden: tuple[Golden, ...]
    error_rate: float | None = None
    latency_p99: float | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> Expectations:
        """The golden inputs, and the limits of the rollback triggers when those are enabled."""
        inference, rollback = manifest.model.spec.inference, manifest.model.spec.rollback
        # The values as they were written: an integer stays one.
        written = manifest.document["spec"]["inference"]["golden_inputs"]
        golden = tuple(
            Golden(
                name=entry.name,
                instance=dict(raw["instance"]),
                prediction=entry.expected.prediction,
                probabilities=dict(entry.expected.probabilities)
                if entry.expected.probabilities is not None
                else None,
                tolerance=entry.expected.tolerance or TOLERANCE,
            )
            for entry, raw in zip(inference.golden_inputs, written, strict=True)
        )
        triggers = rollback.triggers if rollback is not None and rollback.enabled else None
        errors = triggers.error_rate if triggers is not None else None
        latency = triggers.latency_p99 if triggers is not None else None
        return cls(
            golden,
            errors.threshold if errors is not None else None,
            seconds(latency.threshold) if latency is not None else None,
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """A short load: how many requests, how many failed, and the answers' times in seconds."""

    requests: int
    failed: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. `measured` is None when no limit asked for a load."""

    violations: tuple[Violation, ...]
    measured: Measured | None


async def verify(client: Client, expectations: Expectations, release: str) -> Verification:
    """Ask whether it is `release` that answers, then the golden inputs, then for a short load."""
    violations = [*await identity(client, release), *await golden(client, expectations.golden)]
    if expectations.error_rate is None and expectations.latency_p99 is None:
        return Verification(tuple(violations), None)
    measured = await load(client, [entry.instance for entry in expectations.golden])
    violations += judged(measured, expectations)
    return Verification(tuple(violations), measured)


async def identity(client: Client, release: str) -> list[Violation]:
    """Whether the server says that it runs `release` (a digest)."""
    found: Any
    try:
        reply = await client.get("/model/info")
        found = reply.json()["release"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        found = f"no answer: {error!r}"
    if found == release:
        return []
    return [
        Violation(
            id="VF-IDN-001",
            title="Another release answers",
            path="/model/info release",
            actual=found,
            expected=release,
            remedy="Deploy again; if it stays so, another program answers in the server's place.",
        )
    ]


async def golden(client: Client, inputs: tuple[Golden, ...]) -> list[Violation]:
    """Ask every golden input and compare its answer, up to the first one that gets none."""
    found: list[Violation] = []
    for entry in inputs:
        try:
            reply = await client.post("/predict", {"instances": [entry.instance]})
        except OSError as error:
            found.append(_unanswered(entry, f"no answer: {error or type(error).__name__}"))
            break  # the others would wait as long to be told the same
        found += _compared(entry, reply)
    return found


def _compared(entry: Golden, reply: Reply) -> list[Violation]:
    if reply.status != 200:
        shown = reply.body[:300].decode(errors="replace")
        return [_unanswered(entry, f"HTTP {reply.status}: {shown}")]
    try:
        (answer,) = reply.json()["predictions"]
        prediction = str(answer["prediction"])
        given = {str(name): float(value) for name, value in answer["probabilities"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        shown = reply.body[:300].decode(errors="replace")
        return [_unanswered(entry, f"an answer of another shape: {shown}")]
    if prediction != entry.prediction:
        return [
            Violation(
                id="VF-GLD-001",
                title="A golden input is predicted wrongly",
                path=f"golden_inputs[{entry.name}].prediction",
                actual=prediction,
                expected=entry.prediction,
                remedy="Deploy the model that the golden inputs were made with, or correct them.",
            )
        ]
    return [
        Violation(
            id="VF-GLD-002",
            title="A golden input's probability is off",
            path=f"golden_inputs[{entry.name}].probabilities.{name}",
            actual=given.get(name),
            expected=f"{expected:g} ± {entry.tolerance:g}",
            remedy="Deploy the model that the golden inputs were made with, or correct them.",
        )
        for name, expected in (entry.probabilities or {}).items()
        # Not `>`: a NaN must not pass.
        if not abs(given.get(name, math.nan) - expected) <= entry.tolerance
    ]


def _unanswered(entry: Golden, actual: str) -> Violation:
    return Violation(
        id="VF-GLD-003",
        title="A golden input gets no prediction",
        path=f"golden_inputs[{entry.name}]",
        actual=actual,
        expected="HTTP 200 with one prediction",
        remedy=f"Read the server's log: {LOG}.",
    )


async def load(client: Client, instances: list[dict[str, Any]]) -> Measured:
    """REQUESTS predictions one after the other, fewer when LONGEST seconds are over before."""
    times: list[float] = []
    failed = asked = 0
    deadline = time.monotonic() + LONGEST
    while asked < REQUESTS and (asked == 0 or time.monotonic() < deadline):
        try:
            reply = await client.post(
                "/predict", {"instances": [instances[asked % len(instances)]]}
            )
        except OSError:
            failed += 1
        else:
            times.append(reply.seconds)
            failed += reply.status != 200
        asked += 1
    return Measured(asked, failed, percentile(times, 0.50), percentile(times, 0.99))


def percentile(values: list[float], share: float) -> float | None:
    """The smallest value that `share` of them do not exceed (nearest rank); None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def judged(measured: Measured, expectations: Expectations) -> list[Violation]:
    """The limits that the load did not keep. No answer at all keeps none."""
    found: list[Violation] = []
    rate = measured.failed / measured.requests
    if expectations.error_rate is not None and rate > expectations.error_rate:
        found.append(
            Violation(
                id="VF-ERR-001",
                title="Too many requests fail",
                path="spec.rollback.triggers.error_rate.threshold",
                actual=round(rate, 4),
                expected=f"at most {expectations.error_rate:g} of {measured.requests} requests",
                remedy=f"Read the server's log and mend what fails: {LOG}.",
            )
        )
    limit, p99 = expectations.latency_p99, measured.p99
    if limit is not None and (p99 is None or p99 > limit):
        found.append(
            Violation(
                id="VF-LAT-001",
                title="The answers are too slow",
                path="spec.rollback.triggers.latency_p99.threshold",
                actual=None if p99 is None else f"{p99 * 1000:.1f} ms",
                expected=f"at most {limit * 1000:g} ms for 99 % of {measured.requests} requests",
                remedy="Make the model faster, give it more CPU, or raise the threshold.",
            )
        )
    return found
