"""What the steps of a change in a cluster share."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline import image_reference
from pipeline.catalog.interface import Catalog, Event
from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.manifest import Manifest
from pipeline.record import Outcome, StageReport
from pipeline.stages import deploy
from pipeline.stages.interface import Context
from pipeline.targets.kubernetes import apply, waiting
from pipeline.targets.kubernetes.cluster import Cluster, Refused
from pipeline.targets.kubernetes.journal import Records, Revision
from pipeline.targets.kubernetes.objects import Document, Key, of_kind
from pipeline.targets.kubernetes.waiting import NotReady
from pipeline.verdict import Violation

KEY_VARIABLE = "MLIFECYCLE_API_KEY"
_KEY = re.compile(r"[!-~]+")
REMOVING = 150.0  # seconds, for pods to drain and end


@dataclass(frozen=True, slots=True)
class Settings:
    """How a change is made. `timeout` bounds the wait for ready pods, in seconds.

    `may_lack` names the kinds that are left out where the cluster does not know them. `canary` is
    how many pods run beside the old version first, for `watched` seconds; 0 for none. `key` is an
    API key, for pods that answer nobody without one.
    """

    timeout: float = 600.0
    wait: float = 600.0
    force: bool = False
    may_lack: frozenset[str] = frozenset()
    canary: int = 0
    watched: float = 30.0
    key: str | None = field(default=None, repr=False)


def as_key(text: str, flag: str) -> str | None:
    """An API key as it was given: None for nothing, without the line's end. Raises InvalidInput."""
    key = text.strip()
    if not key:
        return None
    if not _KEY.fullmatch(key):
        expected = "an API key: printable ASCII characters without spaces"
        raise InvalidInput([Problem(flag, "", "", expected, "Give it a key as it was printed.")])
    return key


def require_key(manifest: Manifest, key: str | None) -> None:
    """Refuse what could not be verified. Raises InvalidInput."""
    if manifest.model.spec.inference.access is not None and not key:
        raise InvalidInput(
            [
                Problem(
                    KEY_VARIABLE,
                    "spec.inference.access",
                    "",
                    "an API key of the Secret or a token, since the pods answer nobody without one",
                    f"Set {KEY_VARIABLE}; a Dagger call takes --api-key.",
                )
            ]
        )


class Denied(Exception):
    """The new revision is no good. `violations` say why."""

    def __init__(self, summary: str, *violations: Violation) -> None:
        self.summary = summary
        self.violations = violations
        super().__init__(summary)


@dataclass
class Work:
    """What a change works on, and what has come of it so far.

    `open_stage` announces a stage and gives it its place to work; `keep` takes its report and is
    false when it says no. `made` is the namespace, where this change or the one before it that was
    cut short made it; `served` the new revision's entry once its pods were ready, as requests may
    have reached it; `stuck` says why what served before could not be put back.
    """

    cluster: Cluster
    records: Records
    catalog: Catalog
    open_stage: Callable[[str], Context]
    keep: Callable[[StageReport], bool]
    settings: Settings = field(default_factory=Settings)
    made: list[Key] = field(default_factory=list, init=False)
    served: Event | None = field(default=None, init=False)
    stuck: str = field(default="", init=False)


async def applied(work: Work, context: Context, inside: list[Document]) -> Document:
    """The Deployment with every pod new and ready. Raises Denied."""
    context.progress.step(f"applying {len(inside)} objects to {work.cluster.context}")
    for document in inside:
        try:
            await work.cluster.apply(document, force=work.settings.force)
        except Refused as refused:
            raise Denied(
                "an object was refused when it was written",
                *apply.refusals(Key.of(document), refused),
            ) from None
    try:
        return await waiting.rolled_out(
            work.cluster, deployment_of(inside), work.settings.timeout, once(context)
        )
    except NotReady as failure:
        raise Denied("the new pods do not get ready", not_ready(failure)) from None


def report(
    summary: str,
    began: float,
    revision: Revision,
    outcome: Outcome,
    violations: tuple[Violation, ...],
    stage: str = deploy.NAME,
) -> StageReport:
    """A stage's report on a revision. `began` is the monotonic time at its beginning."""
    image = image_reference.parse(revision.image)
    return StageReport(
        stage=stage,
        outcome=outcome,
        summary=summary,
        inputs={"image": image.digest if image else revision.image},
        outputs={"revision": revision.id},
        violations=violations,
        seconds=time.monotonic() - began,
    )


def not_ready(failure: NotReady) -> Violation:
    """What is said of pods that do not get ready."""
    return Violation(
        id="DP-RDY-001",
        title="The new version does not get ready",
        path="Deployment",
        actual=f"{failure.reason}\n{failure.log}".strip(),
        expected="every pod ready",
        remedy="Mend what is said above and deploy again.",
    )


def deployment_of(inside: list[Document]) -> Key:
    """The one Deployment among the objects. Raises EnvironmentFailed."""
    found = of_kind(inside, "Deployment")
    if len(found) != 1:
        raise EnvironmentFailed(f"The rendered objects hold {len(found)} Deployments, not one.")
    return Key.of(found[0])


def once(context: Context) -> Callable[[str], None]:
    """Tells a message that was not the last one."""
    last = [""]

    def tell(message: str) -> None:
        if message != last[0]:
            last[0] = message
            context.progress.step(message)

    return tell
