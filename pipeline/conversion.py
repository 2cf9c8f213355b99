"""The lane of a release: the model converted where it is asked for, compared, and kept."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from pipeline import digest, resources
from pipeline.errors import EnvironmentFailed, InvalidInput, Problem
from pipeline.manifest import Manifest
from pipeline.model_source import StoredModel, beside
from pipeline.places.interface import Builder
from pipeline.program import Lane, Program, Transform
from pipeline.progress import Progress
from pipeline.runtimes.interface import Outcome, ToolNotFound
from pipeline.state import State, write_atomically
from pipeline.tools import converter
from pipeline.tools.interface import NoResult

REPORT = "reports/conversion.json"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The program that a release gets, or why there is none. `document` is the converter's report,
    for whoever wants to know more; it is empty where nothing was converted."""

    program: Program | None
    refused: str
    document: Mapping[str, Any]


def lanes(manifest: Manifest) -> tuple[Lane, ...]:
    """The lanes that a release of the manifest may get."""
    asked = manifest.model.spec.inference.lane
    return tuple(Lane) if asked == "auto" else (Lane(asked),)


async def choose(
    builder: Builder,
    state: State,
    manifest: Manifest,
    model: StoredModel,
    transform: Transform | None,
    progress: Progress,
) -> Chosen:
    """Decide the lane as the manifest wants it.

    Raises InvalidInput for held-out rows that cannot be read, and EnvironmentFailed when the
    converter cannot be run here.
    """
    inference = manifest.model.spec.inference
    plain = Program(
        Lane.TORCH, model.path, model.digest, model.digest, "as the manifest says", transform
    )
    # A manifest with a transform has the torch lane.
    if inference.lane == "torch":
        return Chosen(plain, "", {})
    report = await _converted(builder, state, manifest, model, progress)
    why = _apart(report, inference.agreement.tolerance)
    if why and inference.lane == "auto":
        return Chosen(dataclasses.replace(plain, chosen=why), "", report.document)
    if why or report.onnx is None:
        return Chosen(None, why, report.document)
    return Chosen(
        Program(
            lane=Lane.ONNX,
            path=await anyio.to_thread.run_sync(_kept, state, report.onnx),
            digest=digest.of_bytes(report.onnx),
            model_digest=model.digest,
            chosen=_together(report, inference.agreement.tolerance),
        ),
        "",
        report.document,
    )


def _apart(report: converter.Report, tolerance: float) -> str:
    """Why ONNX Runtime may not take torch's place; empty when it may."""
    if report.onnx is None:
        return report.reason
    for name, compared in report.compared.items():
        if not compared.within(tolerance):
            rows = f"{compared.rows} {_ROWS.get(name, name)}"
            if compared.largest is None:
                return f"on the {rows} an answer is no number"
            return (
                f"on the {rows} a probability differs by up to {compared.largest:.2g}, and "
                f"{compared.other_class} get another class; {tolerance:g} is the tolerance"
            )
    return ""


_ROWS = {"golden": "golden inputs", "held_out": "held-out rows"}


def _together(report: converter.Report, tolerance: float) -> str:
    found = ", ".join(
        f"{each.largest:.2g} on {each.rows} {_ROWS.get(name, name)}"
        for name, each in report.compared.items()
    )
    return f"differs from torch by at most {found}; {tolerance:g} is the tolerance"


async def _converted(
    builder: Builder, state: State, manifest: Manifest, model: StoredModel, progress: Progress
) -> converter.Report:
    """What the converter says, found again for the same model, rows and converter."""
    spec = manifest.model.spec
    held_out = spec.inference.agreement.held_out
    code = resources.folder("serving")
    request = converter.request_of(
        [feature.name for feature in spec.signature.inputs],
        [golden.instance for golden in spec.inference.golden_inputs],
        held_out=held_out is not None,
    )
    with tempfile.TemporaryDirectory(prefix="mlifecycle-") as folder:
        rows = None
        if held_out is not None:
            rows = Path(folder) / "held_out.csv"
            await anyio.to_thread.run_sync(_copy, manifest, held_out, rows)
        key = {
            "model": model.digest,
            "request": digest.of_bytes(request),
            "rows": digest.of_file(rows) if rows else "",
            "code": digest.of_folder(code),
            "lock": digest.of_file(resources.folder("requirements") / converter.LOCK),
        }
        kept = state.cached("conversion", key)
        if (found := _found(kept, state)) is not None:
            return found
        progress.step("converting the model to ONNX")
        asked = Path(folder) / "request.json"
        asked.write_bytes(request)
        try:
            outcome = await builder.converted(
                converter.invocation(code, model.path, asked, rows), progress
            )
            report = converter.parse(outcome)
        except ToolNotFound as error:
            raise EnvironmentFailed(str(error)) from error
        except NoResult as error:
            raise EnvironmentFailed(
                f"The model could not be converted to ONNX: {error}.",
                "Set spec.inference.lane to torch to go without.",
            ) from None
    if report.rows:
        expected = "a CSV file with a number in the column of each feature, in every row"
        place = "spec.inference.agreement.held_out"
        raise InvalidInput(
            [Problem(str(manifest.path), place, str(held_out), expected, f"{report.rows}.")]
        )
    if report.onnx is not None:
        _kept(state, report.onnx)
    write_atomically(kept, json.dumps(_remembered(report)).encode())
    return report


def _copy(manifest: Manifest, uri: str, target: Path) -> None:
    with beside(manifest, "spec.inference.agreement.held_out", uri) as stream:
        data = stream.read(ROWS_LIMIT + 1)
    if len(data) > ROWS_LIMIT:
        expected = f"a file of at most {ROWS_LIMIT} bytes"
        place = "spec.inference.agreement.held_out"
        raise InvalidInput([Problem(str(manifest.path), place, uri, expected, "Take fewer rows.")])
    target.write_bytes(data)


ROWS_LIMIT = 64 * 1024 * 1024  # bytes


def _remembered(report: converter.Report) -> dict[str, Any]:
    onnx = None if report.onnx is None else digest.of_bytes(report.onnx)
    return {"report": dict(report.document), "onnx": onnx}


def _found(kept: Path, state: State) -> converter.Report | None:
    """What an earlier build was told, if all of it is still there."""
    try:
        remembered = json.loads(kept.read_bytes())
        files = {converter.REPORT: json.dumps(remembered["report"]).encode()}
        if (onnx := remembered["onnx"]) is not None:
            data = (_store(state) / onnx.removeprefix("sha256:")).read_bytes()
            if digest.of_bytes(data) != onnx:
                return None
            files[converter.ONNX] = data
        return converter.parse(Outcome(0, "", "", files))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NoResult):
        return None


def _store(state: State) -> Path:
    return state.root / "programs"


def _kept(state: State, onnx: bytes) -> Path:
    place = _store(state) / digest.of_bytes(onnx).removeprefix("sha256:")
    if not place.is_file() or digest.of_file(place) != digest.of_bytes(onnx):
        write_atomically(place, onnx)
    return place
