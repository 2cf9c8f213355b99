"""How a server asks its model: stated in the manifest, or decided by a measurement of the build."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import EnvironmentFailed
from pipeline.manifest import Manifest
from pipeline.runtimes.interface import Outcome
from pipeline.state import write_atomically

# What a release's environment is asked; the release lies in the folder after it.
ARGUMENTS = ("-P", "-m", "serving.measure", "--release")
MODES = ("inline", "drain")
TIMEOUT = 300.0  # seconds; most of it is what the first start of a new environment takes


@dataclass(frozen=True, slots=True)
class Batching:
    """The mode, `inline` or `drain`, and in one line what decided it."""

    mode: str
    decided: str


# While it is being measured, a release says this. It makes no difference to one call.
UNDECIDED = Batching("inline", "it is being measured")

UNMEASURED = Batching("drain", "the model's own code is not run before it is scanned")


def stated(manifest: Manifest) -> Batching | None:
    """What the manifest states; None when it leaves it to the measurement.

    A model with code of its own is not measured: that would run it before it is scanned.
    """
    mode = manifest.model.spec.inference.batching
    if mode != "auto":
        return Batching(mode, "as the manifest says")
    return UNMEASURED if manifest.model.spec.model.transform is not None else None


def measured(outcome: Outcome) -> Batching:
    """What the measurement printed on its last line. Raises EnvironmentFailed."""
    said = outcome.stdout.strip().splitlines()
    if outcome.exit_code == 0 and not outcome.timed_out and said:
        try:
            return _read(json.loads(said[-1]))
        except (ValueError, KeyError, TypeError):
            pass
    why = "it was ended at its time limit" if outcome.timed_out else outcome.stderr.strip()[-300:]
    raise EnvironmentFailed(
        f"The model could not be measured in the release's environment: {why or 'no result'}",
        "Set spec.inference.batching to inline or drain to build without a measurement.",
    )


def _read(found: Any) -> Batching:
    mode, batch = found["mode"], int(found["batch"])
    alone, together = float(found["row_seconds"]) * 1e6, float(found["batch_seconds"]) * 1e6
    if mode not in MODES or not (alone > 0 and together > 0):
        raise ValueError(mode)
    return Batching(
        mode,
        f"a row alone takes {alone:.3g} us, {batch} together {together:.3g} us: "
        f"{float(found['gain']):.3g} times cheaper, {float(found['worth']):.3g} is worth it",
    )


def kept(place: Path) -> Batching | None:
    """What an earlier build of the same parts measured: two builds of them must not differ."""
    try:
        found = json.loads(place.read_bytes())
        mode, decided = found["mode"], found["decided"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Batching(mode, decided) if mode in MODES and isinstance(decided, str) else None


def keep(place: Path, batching: Batching) -> None:
    """Let the next build find it."""
    data = json.dumps({"mode": batching.mode, "decided": batching.decided})
    write_atomically(place, data.encode())
