"""judge: whether the rendered objects may go to a cluster, by the environment's rules.

It comes before anything is pushed or a cluster is asked, and it is given every object.
"""

from __future__ import annotations

import json
import time

from pipeline import digest, policy
from pipeline.errors import EnvironmentFailed
from pipeline.kubernetes import objects as kubernetes
from pipeline.policy.bundle import DEPLOYMENT
from pipeline.record import Outcome, StageReport
from pipeline.stages.interface import Context
from pipeline.state import write_atomically
from pipeline.verdict import Level

NAME = "judge"
VERDICT = "reports/deployment-verdict.json"


async def run(context: Context, objects: bytes) -> StageReport:
    """Judge `objects`, one YAML of all that would be applied.

    A no is a report with the violations, each with its object and the path in it. Raises
    EnvironmentFailed for a YAML that cannot be read, and when there is no policy engine.
    """
    began = time.monotonic()
    context.progress.step(f"judging the Kubernetes objects by the rules for {context.environment}")
    try:
        found = kubernetes.read(objects)
    except kubernetes.Unreadable as error:
        raise EnvironmentFailed(f"The Kubernetes objects cannot be read: {error}.") from error
    document = {"environment": context.environment.value, "objects": found}
    verdict = await policy.judge(context.engine, context.bundle, DEPLOYMENT, document)
    evidence = {
        "verdict": verdict.model_dump(mode="json"),
        "objects": digest.of_bytes(objects),
    }
    data = json.dumps(evidence, indent=2, ensure_ascii=False).encode() + b"\n"
    write_atomically(context.run_folder / VERDICT, data)
    denied = sorted({v.id for v in verdict.violations if v.level is Level.DENY})
    summary = f"{len(found)} objects allowed for {context.environment}"
    if not verdict.allowed:
        summary = f"denied for {context.environment} by {', '.join(denied)}"
    return StageReport(
        stage=NAME,
        outcome=Outcome.PASSED if verdict.allowed else Outcome.DENIED,
        summary=summary,
        inputs={"objects": digest.of_bytes(objects), "policies": verdict.policy_digest},
        outputs={"verdict": digest.of_bytes(data)},
        violations=verdict.violations,
        artifacts={"verdict": VERDICT},
        seconds=time.monotonic() - began,
    )
