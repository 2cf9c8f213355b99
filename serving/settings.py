"""What the server knows about its release: `settings.json`, read strictly once at the start."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar, cast

from serving.errors import InvalidSettings

FORMAT = 1

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Feature:
    """One input of the model. The range is inclusive; None leaves that side open."""

    name: str
    type: Literal["float", "integer"]
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class GoldenInput:
    """An instance and what the model must answer: the class, and when given the probabilities,
    each within `tolerance`."""

    name: str
    instance: dict[str, Any]
    prediction: str
    probabilities: dict[str, float] | None
    tolerance: float


@dataclass(frozen=True, slots=True)
class DriftReference:
    """A monitored feature's training reference: the inner edges of its bins in ascending order, and
    the reference's share in each bin. A value on an edge belongs to the bin below it."""

    feature: str
    column: int
    edges: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """Which features are watched for drift, over a window in seconds."""

    window: float
    references: tuple[DriftReference, ...]


@dataclass(frozen=True, slots=True)
class TransformFile:
    """The model's own code around it."""

    file: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Settings:
    """A release as the server sees it. `release`, `digest` and `program` are `sha256:<hex>`.

    `digest` is the model's, `program` that of `file`, which the lane runs: the model file itself,
    or what the build converted it to.
    """

    release: str
    name: str
    version: str
    framework: str
    description: str
    file: Path
    digest: str
    inputs: tuple[Feature, ...]
    classes: tuple[str, ...]
    golden_inputs: tuple[GoldenInput, ...]
    log_level: str
    log_format: Literal["json", "text"]
    metrics: bool
    lane: Literal["torch", "onnx"]
    program: str
    batching: Literal["inline", "drain"]
    drift: Drift | None = None
    transform: TransformFile | None = None


def load(folder: Path, release_digest: str) -> Settings:
    """Read `settings.json` of the release in `folder`; raises InvalidSettings."""
    path = folder / "settings.json"
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidSettings(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidSettings(f"{path.name} is no JSON: {error}") from error
    top = _Fields(document, "settings")
    if (found := top.take("format", _any)) != FORMAT:
        raise InvalidSettings(f"settings.format is {found!r}, and this server reads {FORMAT}")
    model = _Fields(top.take("model", _any), "settings.model")
    signature = _Fields(top.take("signature", _any), "settings.signature")
    logging = _Fields(top.take("logging", _any), "settings.logging")
    metrics = _Fields(top.take("metrics", _any), "settings.metrics")
    lane = _Fields(top.take("lane", _any), "settings.lane")
    settings = Settings(
        release=release_digest,
        name=model.take("name", _text),
        version=model.take("version", _text),
        framework=model.take("framework", _text),
        description=model.take("description", _text, default=""),
        file=folder / model.take("file", _inside),
        digest=model.take("digest", _digest),
        inputs=signature.take("inputs", _list_of(_feature)),
        classes=signature.take("classes", _list_of(_text)),
        golden_inputs=top.take("golden_inputs", _list_of(_golden)),
        log_level=logging.take("level", _one_of("debug", "info", "warning", "error")),
        log_format=cast(Literal["json", "text"], logging.take("format", _one_of("json", "text"))),
        metrics=metrics.take("enabled", _flag),
        lane=cast(Literal["torch", "onnx"], lane.take("name", _one_of("torch", "onnx"))),
        program=lane.take("digest", _digest),
        batching=cast(Literal["inline", "drain"], top.take("batching", _one_of("inline", "drain"))),
    )
    if (drift := top.take("drift", _any, default=())) != ():
        settings = replace(settings, drift=_drift(drift, settings.inputs))
    if (own := top.take("transform", _any, default=())) != ():
        settings = replace(settings, transform=_transform(own, folder))
    for fields in (top, model, signature, logging, metrics, lane):
        fields.end()
    _distinct([feature.name for feature in settings.inputs], "settings.signature.inputs")
    _distinct(list(settings.classes), "settings.signature.classes")
    return settings


class _Fields:
    """The fields of a JSON object, each taken once; `end` refuses what nobody took."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise InvalidSettings(f"{place} is {value!r} instead of an object")
        self._left = dict(value)
        self._place = place

    def take(self, key: str, check: Callable[[Any, str], _T], default: _T | None = None) -> _T:
        """The field `key`; absent or null it is `default`, or missing when there is none."""
        value = self._left.pop(key, None)
        if value is None:
            if default is None:
                raise InvalidSettings(f"{self._place}.{key} is missing")
            return default
        return check(value, f"{self._place}.{key}")

    def end(self) -> None:
        if self._left:
            raise InvalidSettings(f"{self._place} holds the unknown {', '.join(self._left)}")


def _feature(value: Any, place: str) -> Feature:
    fields = _Fields(value, place)
    feature = Feature(
        name=fields.take("name", _text),
        type=cast(Literal["float", "integer"], fields.take("type", _one_of("float", "integer"))),
        minimum=_finite(fields.take("minimum", _number, default=-math.inf)),
        maximum=_finite(fields.take("maximum", _number, default=math.inf)),
    )
    fields.end()
    return feature


def _transform(value: Any, folder: Path) -> TransformFile:
    fields = _Fields(value, "settings.transform")
    found = TransformFile(folder / fields.take("file", _inside), fields.take("digest", _digest))
    fields.end()
    return found


def _drift(value: Any, features: tuple[Feature, ...]) -> Drift:
    fields = _Fields(value, "settings.drift")
    columns = {feature.name: column for column, feature in enumerate(features)}

    def reference(value: Any, place: str) -> DriftReference:
        each = _Fields(value, place)
        found = DriftReference(
            feature=(name := each.take("feature", _one_of(*columns))),
            column=columns[name],
            edges=each.take("edges", _list_of(_number)),
            shares=each.take("shares", _list_of(_number)),
        )
        each.end()
        if len(found.shares) != len(found.edges) + 1 or list(found.edges) != sorted(found.edges):
            raise InvalidSettings(f"{place} has no ascending edges with a share for each bin")
        if min(found.shares) < 0 or abs(sum(found.shares) - 1) > 1e-6:
            raise InvalidSettings(f"{place}.shares do not make 1")
        return found

    drift = Drift(
        window=fields.take("window_seconds", _number),
        references=fields.take("features", _list_of(reference)),
    )
    fields.end()
    if drift.window <= 0:
        raise InvalidSettings(f"settings.drift.window_seconds is {drift.window}")
    _distinct([each.feature for each in drift.references], "settings.drift.features")
    return drift


def _golden(value: Any, place: str) -> GoldenInput:
    fields = _Fields(value, place)
    expected = _Fields(fields.take("expected", _any), f"{place}.expected")
    probabilities: Any = expected.take("probabilities", _any, default={})
    if not isinstance(probabilities, dict):
        raise InvalidSettings(f"{place}.expected.probabilities is {probabilities!r}")
    golden = GoldenInput(
        name=fields.take("name", _text),
        instance=dict(_Fields(fields.take("instance", _any), f"{place}.instance")._left),
        prediction=expected.take("prediction", _text),
        probabilities={k: _number(v, f"{place}.{k}") for k, v in probabilities.items()} or None,
        tolerance=expected.take("tolerance", _number, default=0.0),
    )
    fields.end()
    expected.end()
    return golden


def _any(value: Any, place: str) -> Any:
    return value


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise InvalidSettings(f"{place} is {value!r} instead of a text")
    return value


def _number(value: Any, place: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise InvalidSettings(f"{place} is {value!r} instead of a number")
    return value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _flag(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidSettings(f"{place} is {value!r} instead of true or false")
    return value


def _digest(value: Any, place: str) -> str:
    text = _text(value, place)
    hexadecimal = text.removeprefix("sha256:")
    if len(text) != 71 or len(hexadecimal) != 64 or set(hexadecimal) - set("0123456789abcdef"):
        raise InvalidSettings(f"{place} is {value!r} instead of sha256:<64 hex digits>")
    return text


def _inside(value: Any, place: str) -> str:
    path = PurePosixPath(_text(value, place))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise InvalidSettings(f"{place} is {value!r}, which is no path inside the release")
    return str(path)


def _one_of(*allowed: str) -> Callable[[Any, str], str]:
    def check(value: Any, place: str) -> str:
        if value not in allowed:
            raise InvalidSettings(f"{place} is {value!r} instead of {' or '.join(allowed)}")
        return str(value)

    return check


def _list_of(check: Callable[[Any, str], _T]) -> Callable[[Any, str], tuple[_T, ...]]:
    def checked(value: Any, place: str) -> tuple[_T, ...]:
        if not isinstance(value, list) or not value:
            raise InvalidSettings(f"{place} is {value!r} instead of a list with entries")
        return tuple(check(item, f"{place}[{index}]") for index, item in enumerate(value))

    return checked


def _distinct(names: list[str], place: str) -> None:
    if len(set(names)) != len(names):
        raise InvalidSettings(f"{place} holds a name twice")
