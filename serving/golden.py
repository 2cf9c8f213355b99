"""The release's golden inputs, asked inside the server: the last check before it says ready."""

from __future__ import annotations

import numpy as np

from serving.errors import UnfitModel
from serving.lanes.interface import Lane, ask
from serving.settings import GoldenInput, Settings
from serving.signature import InvalidInstances, to_rows


def failures(settings: Settings, lane: Lane) -> tuple[str, ...]:
    """What each golden input that fails got instead of its expected answer."""
    found = (_failure(golden, settings, lane) for golden in settings.golden_inputs)
    return tuple(failure for failure in found if failure)


def _failure(golden: GoldenInput, settings: Settings, lane: Lane) -> str:
    label = f"golden input {golden.name!r}"
    try:
        rows = np.array(to_rows([golden.instance], settings.inputs), np.float32)
        [answer] = ask(lane, rows, len(settings.classes)).tolist()
    except InvalidInstances as error:
        fault = error.faults[0]
        return f"{label}: {fault.feature or 'instance'} is {fault.value!r}, not {fault.expected}"
    except UnfitModel as error:
        return f"{label}: {error}"
    # NaN fails every comparison.
    if not min(answer) >= 0 or not abs(sum(answer) - 1) <= 1e-3:
        return f"{label}: the answer {answer} is not a probability for each class"
    got = dict(zip(settings.classes, answer, strict=True))
    prediction = max(got, key=got.__getitem__)
    if prediction != golden.prediction:
        return f"{label}: predicted {prediction} instead of {golden.prediction}"
    for name, expected in (golden.probabilities or {}).items():
        if name not in got or not abs(got[name] - expected) <= golden.tolerance:
            return (
                f"{label}: the probability of {name} is {got.get(name)} instead of {expected} "
                f"within {golden.tolerance}"
            )
    return ""
