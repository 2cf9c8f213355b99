"""The release's golden inputs, asked inside the server: the last check before it says ready."""

from __future__ import annotations

from serving.errors import UnfitModel
from serving.inputs import InvalidInstances, to_rows
from serving.model import Model
from serving.settings import GoldenInput, Settings


def failures(settings: Settings, model: Model) -> tuple[str, ...]:
    """What each golden input that fails got instead of its expected answer."""
    found = (_failure(golden, settings, model) for golden in settings.golden_inputs)
    return tuple(failure for failure in found if failure)


def _failure(golden: GoldenInput, settings: Settings, model: Model) -> str:
    label = f"golden input {golden.name!r}"
    try:
        [answer] = model.predict(to_rows([golden.instance], settings.inputs))
    except InvalidInstances as error:
        fault = error.faults[0]
        return f"{label}: {fault.feature or 'instance'} is {fault.value!r}, not {fault.expected}"
    except UnfitModel as error:
        return f"{label}: {error}"
    if min(answer) < 0 or not abs(sum(answer) - 1) <= 1e-3:
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
