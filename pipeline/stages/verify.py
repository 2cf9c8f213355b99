"""verify: a release must answer rightly, without errors and fast enough, or it gets no traffic."""

from __future__ import annotations

import time

from pipeline.manifest import Manifest
from pipeline.record import Outcome, StageReport
from pipeline.stages.interface import Context
from pipeline.targets.interface import Client
from pipeline.targets.verify import Expectations, Verification, verify

NAME = "verify"


async def run(
    context: Context, client: Client, manifest: Manifest, release: str, where: str
) -> StageReport:
    """Ask `client` who it is, the golden inputs, and a short load within the rollback triggers.

    `release` is the digest that must answer; `where` says in words what is being asked.
    """
    began = time.monotonic()
    expectations = Expectations.of(manifest)
    context.progress.step(f"asking {len(expectations.golden)} golden inputs, {where}")
    found = await verify(client, expectations, release)
    return StageReport(
        stage=NAME,
        outcome=Outcome.DENIED if found.violations else Outcome.PASSED,
        summary=_summary(found, len(expectations.golden), where),
        inputs={"release": release, "manifest": manifest.digest},
        violations=found.violations,
        seconds=time.monotonic() - began,
    )


def _summary(found: Verification, golden: int, where: str) -> str:
    if found.violations:
        return f"{len(found.violations)} of its answers are not as promised ({where})"
    measured = found.measured
    if measured is None or measured.p99 is None:
        return f"{golden} golden inputs answered rightly ({where})"
    return (
        f"{golden} golden inputs answered rightly; {measured.requests} requests, "
        f"{measured.failed} failed, p99 {measured.p99 * 1000:.1f} ms ({where})"
    )
