"""A canary: a second Deployment behind the same Service, judged by its own numbers.

Its share of the requests is its share of the pods. What it answered, and how fast, is read from its
`/metrics` and compared with what the old pods' say of the same time.
"""

from __future__ import annotations

import copy
import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.targets.kubernetes.objects import Document
from pipeline.targets.verify import Expectations
from pipeline.verdict import Violation

TRACK = ("mlifecycle.io/track", "canary")
# What may differ by chance: a share of failures, a factor of the time, and seconds that are no
# difference to anybody.
_MORE_FAILURES = 0.01
_SLOWER = 2.0
_NOTICED = 0.025
ENOUGH = 20  # requests on either side, below which nothing is known

_SAMPLE = re.compile(
    r"^mlifecycle_(?P<name>requests_total|request_duration_seconds_bucket)"
    r"\{(?P<labels>[^}]*)\} (?P<value>\S+)",
    re.MULTILINE,
)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def beside(deployment: Document, replicas: int) -> Document:
    """The canary's Deployment: the new one under another name, with a label of its own.

    The Service selects its pods as it does the others'; no other Deployment takes them for its own.
    """
    found = copy.deepcopy(deployment)
    label, value = TRACK
    metadata, spec = found["metadata"], found["spec"]
    metadata["name"] += "-canary"
    spec["replicas"] = replicas
    spec["selector"]["matchLabels"][label] = value
    spec["template"]["metadata"].setdefault("labels", {})[label] = value
    return found


@dataclass(frozen=True, slots=True)
class Counted:
    """What servers counted: answers, those with a status of 500 or more, and their times.

    `buckets` maps an upper bound in seconds to how many answers took no longer.
    """

    requests: float
    failed: float
    buckets: dict[float, float]

    @classmethod
    def read(cls, expositions: Iterable[str]) -> Counted:
        """Added up over the servers' metrics, in Prometheus' text format."""
        requests = failed = 0.0
        buckets: dict[float, float] = defaultdict(float)
        for match in (m for text in expositions for m in _SAMPLE.finditer(text)):
            labels = dict(_LABEL.findall(match["labels"]))
            if "predict" not in labels.get("route", "predict"):
                continue
            value = float(match["value"])
            if match["name"] == "requests_total":
                requests += value
                failed += value if labels["status"].startswith("5") else 0.0
            else:
                buckets[float(labels["le"])] += value
        return cls(requests, failed, dict(buckets))

    def since(self, before: Counted) -> Counted:
        """What came after `before` was read."""
        return Counted(
            self.requests - before.requests,
            self.failed - before.failed,
            {
                bound: count - before.buckets.get(bound, 0.0)
                for bound, count in self.buckets.items()
            },
        )

    @property
    def error_rate(self) -> float:
        """The share of failures; NaN of nothing."""
        return self.failed / self.requests if self.requests > 0 else math.nan

    @property
    def p99(self) -> float:
        """The bound in seconds that 99 % of the answers kept; NaN of nothing."""
        total = max(self.buckets.values(), default=0.0)
        if total <= 0:
            return math.nan
        return min(bound for bound, count in self.buckets.items() if count >= 0.99 * total)

    def __str__(self) -> str:
        return f"{self.requests:.0f} requests, {self.failed:.0f} failed, p99 {_shown(self.p99)}"


def judged(canary: Counted, old: Counted, expectations: Expectations) -> list[Violation]:
    """Why the canary is not promoted. Numbers that are missing promote nothing."""
    if not (canary.requests >= ENOUGH and old.requests >= ENOUGH):
        return [
            _violation(
                "CN-CNT-001",
                "Too little is known of the canary",
                f"{canary.requests:.0f} requests to it, {old.requests:.0f} to the old version",
                f"at least {ENOUGH} to each, in their own metrics",
                "Have the model's metrics enabled (spec.observability.metrics).",
            )
        ]
    found: list[Violation] = []
    most = old.error_rate + _MORE_FAILURES
    if expectations.error_rate is not None:
        most = min(most, expectations.error_rate)
    if not canary.error_rate <= most:
        found.append(
            _violation(
                "CN-ERR-001",
                "The canary fails more often",
                f"{canary.error_rate:.2%} of {canary.requests:.0f} requests",
                f"at most {most:.2%}: the old version's {old.error_rate:.2%} and the rollback "
                "trigger",
                "Read the canary's log above and mend what fails.",
            )
        )
    slowest = max(old.p99 * _SLOWER, old.p99 + _NOTICED)
    if expectations.latency_p99 is not None:
        slowest = min(slowest, max(expectations.latency_p99, old.p99))
    if not canary.p99 <= slowest:
        found.append(
            _violation(
                "CN-LAT-001",
                "The canary answers more slowly",
                f"99 % within {_shown(canary.p99)}",
                f"within {_shown(slowest)}: the old version's {_shown(old.p99)} and the rollback "
                "trigger",
                "Make the model faster, or give it more CPU.",
            )
        )
    return found


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if math.isfinite(seconds) else "unknown"


def _violation(rule: str, title: str, actual: str, expected: str, remedy: str) -> Violation:
    return Violation(
        id=rule, title=title, path="canary", actual=actual, expected=expected, remedy=remedy
    )
