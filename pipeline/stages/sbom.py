"""The sbom stage: what is in the release, and whether all accounts of that agree."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import comparison, digest, lockfile, materials, policy
from pipeline.errors import EnvironmentFailed
from pipeline.examination import Examination
from pipeline.findings import ToolReport, ToolStatus
from pipeline.inventory import Inventory
from pipeline.manifest import Manifest
from pipeline.places.interface import Built
from pipeline.policy.bundle import SUPPLY_CHAIN
from pipeline.program import Lane
from pipeline.record import Outcome, StageReport
from pipeline.runtimes.interface import ToolNotFound
from pipeline.stages import lock as locks
from pipeline.stages.interface import Context
from pipeline.state import write_atomically
from pipeline.tools import syft
from pipeline.tools.interface import NoResult

CYCLONEDX = "reports/sbom.cdx.json"
SPDX = "reports/sbom.spdx.json"
COMPARISON = "reports/sbom-comparison.json"


@dataclass(frozen=True, slots=True)
class _Examined:
    """An environment as syft lists it, and how its files differ from its packages' records."""

    bill: syft.Bill
    installed: Examination
    tool: ToolReport
    reused: bool


async def run(context: Context, manifest: Manifest, release: Built) -> StageReport:
    """Write the bill of materials and compare it with what is declared, locked and installed.

    Raises EnvironmentFailed when syft is not there or gives no bill.
    """
    began = time.monotonic()
    examined = await _examine(context, release)
    installed = examined.installed.inventory
    context.progress.step("comparing what is declared, locked, installed and listed")
    lock = lockfile.parse(release.lock.read_bytes())
    rows = comparison.compare(
        locks.wanted(manifest, Lane(release.lane)).requirements,
        lock,
        installed,
        examined.bill.packages,
        examined.installed.requires,
        examined.installed.markers,
    )
    rows += [
        comparison.Row(change.partition(" ")[0], None, None, None, None, f"file {change}")
        for change in examined.installed.changes
    ]
    rows += _replaced(release.inventory, installed)
    differences = [row.to_json() for row in rows if row.problem]
    document = {
        "subject": "inventory",
        "environment": context.environment.value,
        "inventory": {"packages": len(installed.distributions), "differences": differences},
    }
    verdict = await policy.judge(context.engine, context.bundle, SUPPLY_CHAIN, document)
    outputs = _write(context, manifest, release, examined.bill, rows)
    vendored = sum(package.vendored for package in examined.bill.packages)
    return StageReport(
        stage="sbom",
        outcome=Outcome.PASSED if verdict.allowed else Outcome.DENIED,
        summary=f"{len(installed.distributions)} packages and {vendored} vendored in them, "
        + (f"{len(differences)} differences" if differences else "all accounts agree"),
        inputs={"release": release.digest, "inventory": installed.digest},
        outputs=outputs,
        violations=verdict.violations,
        tools=(examined.tool,),
        artifacts={"cyclonedx": CYCLONEDX, "spdx": SPDX, "comparison": COMPARISON},
        seconds=time.monotonic() - began,
        reused=examined.reused,
    )


def _replaced(recorded: Inventory, installed: Inventory) -> list[comparison.Row]:
    """Distributions whose list of files is not the one that the build stage put on record."""
    records = {(d.name, d.version): d.record for d in recorded.distributions}
    problem = "its files are not those that the release was built with"
    return [
        comparison.Row(d.name, None, None, d.version, None, problem)
        for d in installed.distributions
        if records.get((d.name, d.version), d.record) != d.record
    ]


async def _examine(context: Context, release: Built) -> _Examined:
    """syft's list and the check of every file; once for an environment, as both take a while."""
    version = await context.runtime.version(syft.NAME) or "unknown"
    key = {
        "environment": release.environment_digest,
        "inventory": release.inventory.digest,
        "place": context.runtime.name,
        "tool": f"{syft.NAME} {version}",
        "invocation": digest.of_json(list(syft.invocation(release.installed).arguments)),
    }
    kept = context.state.cached("sbom", key)
    if (found := _kept(kept, version)) is not None:
        return found
    context.progress.step(f"listing {len(release.inventory.distributions)} packages")
    try:
        outcome = await context.runtime.run(syft.invocation(release.installed))
    except ToolNotFound as error:
        raise EnvironmentFailed(str(error)) from error
    report = syft.parse(outcome, version)
    if report.status is not ToolStatus.RAN:
        raise EnvironmentFailed(f"There is no bill of materials: {syft.NAME}: {report.reason}.")
    bill = syft.bill(outcome.files)
    context.progress.step("checking every installed file")
    installed = await context.builder.examine(release)
    if not installed.changes and installed.inventory == release.inventory:
        # An environment that was found changed is looked at again each time.
        documents: dict[str, Any] = {"cyclonedx": bill.cyclonedx, "spdx": bill.spdx}
        documents |= {"installed": installed.to_bytes().decode()}
        write_atomically(kept, json.dumps(documents).encode())
    return _Examined(bill, installed, report, reused=False)


def _kept(path: Path, version: str) -> _Examined | None:
    """What an earlier run found, if it can be read."""
    try:
        documents = json.loads(path.read_bytes())
        files = {
            syft.CYCLONEDX: json.dumps(documents["cyclonedx"]).encode(),
            syft.SPDX: json.dumps(documents["spdx"]).encode(),
        }
        bill = syft.bill(files)
        installed = Examination.from_bytes(documents["installed"].encode())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NoResult):
        return None
    report = ToolReport(
        tool=syft.NAME, version=version, status=ToolStatus.RAN, audited=len(bill.packages)
    )
    return _Examined(bill, installed, report, reused=True)


def _write(
    context: Context,
    manifest: Manifest,
    release: Built,
    bill: syft.Bill,
    rows: list[comparison.Row],
) -> dict[str, str]:
    model = manifest.model.spec.model.name
    documents = {
        CYCLONEDX: materials.cyclonedx(bill, release, model),
        SPDX: materials.spdx(bill, release, model),
        COMPARISON: (json.dumps([row.to_json() for row in rows], indent=1) + "\n").encode(),
    }
    for name, data in documents.items():
        write_atomically(context.run_folder / name, data)
    return {
        "cyclonedx": digest.of_bytes(documents[CYCLONEDX]),
        "spdx": digest.of_bytes(documents[SPDX]),
    }
