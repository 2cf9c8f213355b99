"""Scan: every scanner over the server, the submission, the Dockerfile and the lock; one verdict.

All scanners run to their reports; only then does the supply chain policy decide, from the
reports alone, which findings block and which scanners must have run.
"""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from pipeline import digest, policy
from pipeline.errors import InvalidInput, Problem
from pipeline.findings import Finding, ToolReport, ToolStatus
from pipeline.manifest import Manifest
from pipeline.places.interface import Built
from pipeline.policy.bundle import SUPPLY_CHAIN
from pipeline.record import Outcome, StageReport
from pipeline.release_folder import server_files
from pipeline.resources import folder
from pipeline.runtimes.interface import Input, ToolNotFound
from pipeline.scanning import kept, merging, submission
from pipeline.stages.interface import Context
from pipeline.state import write_atomically
from pipeline.tools import interface as tools
from pipeline.tools.interface import Scanner
from pipeline.tools.registry import SCANNERS

STAGE = "scan"
LINT = "lint"


@dataclass(frozen=True, slots=True)
class Scanned:
    """One scanner's result, and whether it was found instead of made."""

    scanner: Scanner
    result: kept.Result
    reused: bool

    @property
    def report(self) -> ToolReport:
        """What the result means."""
        return self.result.report


async def run(
    context: Context,
    manifest: Manifest,
    release: Built,
    scanners: Sequence[Scanner] = SCANNERS,
) -> StageReport:
    """Scan a built release and the folder that its manifest came from.

    Scanners that read what is not there do not apply: a release in a folder has no image.

    Leaves in the run's folder every tool's own report and log, and `findings.json` with the
    merged findings and what was left out of the scan. Raises InvalidInput when the manifest's
    folder cannot be scanned.
    """
    with tempfile.TemporaryDirectory(prefix="mlifecycle-scan-") as room:
        lay_out = functools.partial(_lay_out, context, manifest, release.server, Path(room))
        sources, left_out = await anyio.to_thread.run_sync(lay_out)
        databases = await context.builder.databases(release, context.progress)
        inputs = {**sources, tools.LOCK: release.lock, **release.image, **databases}
        return await _run(context, STAGE, scanners, inputs, left_out)


async def lint(
    context: Context, manifest: Manifest, scanners: Sequence[Scanner] = SCANNERS
) -> StageReport:
    """Scan what was written by hand, before anything is built: no scanner is missed for it."""
    with tempfile.TemporaryDirectory(prefix="mlifecycle-scan-") as room:
        server = Path(room) / "unbuilt"
        for name, source in server_files().items():
            place = server / "serving" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)
        lay_out = functools.partial(_lay_out, context, manifest, server, Path(room))
        sources, left_out = await anyio.to_thread.run_sync(lay_out)
        fitting = [each for each in scanners if sources.keys() >= set(each.reads)]
        return await _run(context, LINT, fitting, sources, left_out)


async def _run(
    context: Context,
    subject: str,
    scanners: Sequence[Scanner],
    inputs: Mapping[str, Input],
    left_out: Mapping[str, str],
) -> StageReport:
    began = time.monotonic()
    digests = await anyio.to_thread.run_sync(_digests, inputs)
    offered = await _offered(context, scanners, inputs)
    scanned = await _scan_all(context, offered, inputs, digests)
    found = merging.merge(finding for each in scanned for finding in each.report.findings)
    reports = [each.report for each in scanned]
    artifacts = _leave(context.run_folder, scanned, found, left_out)
    verdict = await policy.judge(
        context.engine,
        context.bundle,
        SUPPLY_CHAIN,
        {
            "environment": context.environment,
            "subject": subject,
            "today": datetime.now(UTC).date().isoformat(),  # waivers end
            "scan": {
                # The image's digest: with an image, more scanners are required.
                "image": digests.get(tools.IMAGE),
                "tools": [report.model_dump(mode="json") for report in reports],
                "findings": [finding.model_dump(mode="json") for finding in found],
            },
        },
    )
    return StageReport(
        stage=subject,
        outcome=Outcome.PASSED if verdict.allowed else Outcome.DENIED,
        summary=_summary(reports, found, left_out),
        inputs=digests,
        outputs={
            "findings": digest.of_json([finding.model_dump(mode="json") for finding in found]),
            "policies": verdict.policy_digest,
        },
        violations=verdict.violations,
        tools=tuple(reports),
        artifacts=artifacts,
        seconds=time.monotonic() - began,
        reused=all(each.reused for each in scanned),
    )


def _lay_out(
    context: Context, manifest: Manifest, server: Path, room: Path
) -> tuple[dict[str, Input], dict[str, str]]:
    uri = manifest.model.spec.model.uri
    elsewhere = [context.state.root]
    if "://" not in uri:
        elsewhere.append(manifest.folder / uri)
    copied = room / tools.SUBMISSION
    left_out = submission.copy(manifest.folder, copied, elsewhere)
    own = manifest.model.spec.model.transform
    if own is not None and not (copied / own).is_file():
        raise InvalidInput([_unscanned(manifest, own)])
    inputs: dict[str, Input] = {
        tools.SERVER: server,
        tools.SUBMISSION: copied,
        tools.DOCKERFILE: folder("serving") / "Dockerfile",
        tools.RULES: folder("policies") / "semgrep",
    }
    return inputs, left_out


def _unscanned(manifest: Manifest, own: str) -> Problem:
    expected = "a file that scanners read"
    remedy = "It is a link, or in a folder of installed packages or caches: put it elsewhere."
    return Problem(str(manifest.path), "spec.model.transform", own, expected, remedy)


def _digests(inputs: Mapping[str, Input]) -> dict[str, str]:
    return {name: _digest(given) for name, given in inputs.items()}


def _digest(given: Input) -> str:
    if not isinstance(given, Path):
        return given.digest
    return digest.of_folder(given) if given.is_dir() else digest.of_file(given)


async def _offered(
    context: Context, scanners: Sequence[Scanner], inputs: Mapping[str, Input]
) -> list[Scanner]:
    """The scanners that apply here, and those that the policy demands, whether they do or not."""
    demanded = _demanded(context, inputs)
    offered: set[str] = set()

    async def look(scanner: Scanner) -> None:
        there = scanner.name in demanded
        if not there and inputs.keys() >= set(scanner.reads):
            there = scanner.package is not None
            there = there or await context.runtime.version(scanner.command) is not None
        if there:
            offered.add(scanner.name)

    async with anyio.create_task_group() as group:
        for scanner in scanners:
            group.start_soon(look, scanner)
    return [scanner for scanner in scanners if scanner.name in offered]


def _demanded(context: Context, inputs: Mapping[str, Input]) -> Collection[str]:
    """The environment's lists, as far as they are; the policy itself denies what is no list."""
    settings: Any = context.bundle.data
    for key in ("mlifecycle", "environments", context.environment.value, "supply_chain"):
        settings = settings.get(key, {}) if isinstance(settings, Mapping) else {}
    lists = ["scanners"] + (["image_scanners"] if tools.IMAGE in inputs else [])
    found: set[str] = set()
    for name in lists:
        value = settings.get(name, ()) if isinstance(settings, Mapping) else ()
        found |= {str(each) for each in value} if isinstance(value, list | tuple) else set()
    return found


async def _scan_all(
    context: Context,
    scanners: Sequence[Scanner],
    inputs: Mapping[str, Input],
    digests: dict[str, str],
) -> list[Scanned]:
    code = digest.of_folder(Path(tools.__file__).parent)
    done: dict[str, Scanned] = {}

    async def one(scanner: Scanner) -> None:
        done[scanner.name] = await _scan(context, scanner, inputs, digests, code)

    async with anyio.create_task_group() as group:
        for scanner in scanners:
            group.start_soon(one, scanner)
    return [done[scanner.name] for scanner in scanners]


async def _scan(
    context: Context,
    scanner: Scanner,
    inputs: Mapping[str, Input],
    digests: dict[str, str],
    code: str,
) -> Scanned:
    now = datetime.now(UTC)
    version = await context.runtime.version(scanner.command) or ""
    absent = [name for name in scanner.reads if name not in inputs]
    if absent:
        reason = f"there is no {absent[0]} here for it to read"
        report = tools.not_run(scanner.name, version, reason)
        return Scanned(scanner, kept.Result(key={}, at=now, report=report, raw="", log=""), False)
    key = kept.key_of(scanner, version, context.runtime.name, digests, code, now)
    place = context.state.cached(f"{STAGE}-{scanner.name}", key)
    known = kept.load(place, key, now) if version else None
    if known is not None:
        return Scanned(scanner, known, reused=True)
    context.progress.step(f"{scanner.name} {version}".strip() + " is looking")
    wanted = (*scanner.reads, *scanner.database)
    call = scanner.invocation({name: inputs[name] for name in wanted if name in inputs})
    try:
        outcome = await context.runtime.run(call)
    except ToolNotFound as problem:
        report = tools.not_run(scanner.name, version, str(problem))
        return Scanned(scanner, kept.Result(key=key, at=now, report=report, raw="", log=""), False)
    report = scanner.parse(outcome, version)
    raw = (
        outcome.files.get(scanner.report, b"").decode(errors="replace")
        if scanner.report
        else outcome.stdout
    )
    result = kept.Result(key=key, at=now, report=report, raw=raw, log=outcome.stderr)
    return Scanned(scanner, kept.save(place, scanner, result), reused=False)


def _leave(
    run_folder: Path,
    scanned: Sequence[Scanned],
    found: Sequence[Finding],
    left_out: Mapping[str, str],
) -> dict[str, str]:
    """Write the reports; return their places by name."""
    artifacts: dict[str, str] = {}

    def leave(name: str, text: str) -> None:
        # a file name need not be UTF-8
        write_atomically(run_folder / "reports" / name, text.encode(errors="backslashreplace"))
        artifacts[name] = f"reports/{name}"

    for each in scanned:
        if each.result.raw:
            leave(f"{each.scanner.name}.json", each.result.raw)
        if each.result.log:
            leave(f"{each.scanner.name}.log", each.result.log)
    document = {
        "tools": [each.report.model_dump(mode="json", exclude={"findings"}) for each in scanned],
        "findings": [finding.model_dump(mode="json") for finding in found],
        "left_out": dict(left_out),
    }
    leave("findings.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return artifacts


def _summary(
    reports: Sequence[ToolReport], found: Sequence[Finding], left_out: Mapping[str, str]
) -> str:
    absent = [report.tool for report in reports if report.status is ToolStatus.NOT_RUN]
    counts = Counter(finding.severity for finding in found)
    worst = sorted(counts, key=lambda severity: -severity.rank)
    parts = [f"{len(reports) - len(absent)} of {len(reports)} scanners ran"]
    if absent:
        parts[0] += f" (not run: {', '.join(absent)})"
    detail = ", ".join(f"{counts[severity]} {severity}" for severity in worst)
    parts.append(f"findings: {len(found)}" + (f" ({detail})" if detail else ""))
    if left_out:
        parts.append(f"left out: {len(left_out)}")
    return "; ".join(parts)
