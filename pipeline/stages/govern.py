"""govern: judge what the manifest states, and what the catalog knows, by the environment's rules.

Nothing is fetched, built or measured before this yes. The verdict is kept with the very document
that was judged, so that it can be reached again from the same bundle.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline import __version__, digest, policy
from pipeline.catalog.interface import Serving
from pipeline.environment import Environment
from pipeline.manifest import Manifest
from pipeline.policy.bundle import GOVERNANCE
from pipeline.policy.decision import UNDECIDED
from pipeline.policy.opa import complaint
from pipeline.record import Outcome, StageReport
from pipeline.runtimes.interface import ToolNotFound
from pipeline.stages.interface import Context
from pipeline.state import write_atomically
from pipeline.verdict import Level, Verdict, Violation

NAME = "govern"
VERDICT = "reports/verdict.json"
UNCHECKED = Violation(
    id="MG-ENG-002",
    title="One's own policies are checked by OPA",
    path="--policies",
    actual="opa is not installed",
    expected="opa check without a complaint",
    remedy="Correct what OPA names; where it is missing, put the program opa on the PATH.",
)


def document(
    environment: Environment, manifest: Manifest, serving: Serving | None
) -> dict[str, Any]:
    """What the policies see. `serving` is the catalog's answer: None says that nothing serves."""
    known = None
    if serving is not None:
        known = {"version": serving.version, "metrics": dict(serving.metrics)}
    return {
        "environment": environment.value,
        "manifest": manifest.document,
        "catalog": {"serving": known},
    }


async def run(context: Context, manifest: Manifest, serving: Serving | None) -> StageReport:
    """Judge `manifest` against the bundle; `serving` is what the catalog says serves there now.

    A no is a report with the violations. Raises EnvironmentFailed when there is no policy engine.
    """
    began = time.monotonic()
    context.progress.step(f"judging the manifest by the rules for {context.environment}")
    judged = document(context.environment, manifest, serving)
    key = {
        "document": digest.of_json(judged),
        "policies": context.bundle.digest,
        "engine": f"{context.engine.name} {await context.engine.version()}",
        "pipeline": __version__,
    }
    kept = context.state.cached(NAME, key) / "verdict.json"
    verdict = _found(kept, context)
    reused = verdict is not None
    if verdict is None:
        verdict = await policy.judge(context.engine, context.bundle, GOVERNANCE, judged)
        # Not having come to a decision may pass; a decision on the same facts does not.
        if not any(violation.id == UNDECIDED.id for violation in verdict.violations):
            write_atomically(kept, verdict.model_dump_json().encode())
    if context.bundle.own:
        verdict = await _checked(context, verdict)
    evidence = {"verdict": verdict.model_dump(mode="json"), "input": judged}
    data = json.dumps(evidence, indent=2, ensure_ascii=False).encode() + b"\n"
    write_atomically(context.run_folder / VERDICT, data)
    return StageReport(
        stage=NAME,
        outcome=Outcome.PASSED if verdict.allowed else Outcome.DENIED,
        summary=_summary(context, verdict),
        inputs={
            "manifest": manifest.digest,
            "policies": verdict.policy_digest,
            "catalog": digest.of_json(judged["catalog"]),
        },
        outputs={"verdict": digest.of_bytes(data)},
        violations=verdict.violations,
        artifacts={"verdict": VERDICT},
        seconds=time.monotonic() - began,
        reused=reused,
    )


async def _checked(context: Context, verdict: Verdict) -> Verdict:
    """The verdict, and whether OPA finds the user's own policies sound."""
    try:
        said = await complaint(context.runtime, context.bundle)
    except ToolNotFound:
        lenient = context.environment in (Environment.LOCAL, Environment.DEV)
        added = UNCHECKED.model_copy(update={"level": Level.WARN if lenient else Level.DENY})
    else:
        if not said:
            return verdict
        added = UNCHECKED.model_copy(update={"actual": said, "expected": "policies without fault"})
    return verdict.model_copy(
        update={
            "allowed": verdict.allowed and added.level is Level.WARN,
            "violations": (*verdict.violations, added),
        }
    )


def _found(kept: Path, context: Context) -> Verdict | None:
    """The verdict on the same document by the same policies, if it was reached before."""
    try:
        verdict = Verdict.model_validate_json(kept.read_bytes())
    except (OSError, ValidationError):
        return None
    reached_by = (verdict.policy_digest, verdict.engine)
    return verdict if reached_by == (context.bundle.digest, context.engine.name) else None


def _summary(context: Context, verdict: Verdict) -> str:
    if not verdict.allowed:
        denied = sorted({v.id for v in verdict.violations if v.level is Level.DENY})
        return f"denied for {context.environment} by {', '.join(denied)}"
    warnings = len(verdict.violations)
    return f"allowed for {context.environment}, {warnings} warning{'s' if warnings != 1 else ''}"
