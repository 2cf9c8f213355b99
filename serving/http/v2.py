"""The Open Inference Protocol, version 2: what describes the server and its model.

The model takes one tensor, `instances` (FP32, n x features in the order of the signature), and
answers two: `probabilities` (FP32, n x classes) and `prediction` (BYTES, n: the class's name).
"""

from __future__ import annotations

import orjson

from serving.http.exchange import Exchange, Route
from serving.readiness import Readiness
from serving.settings import Settings

INPUT = "instances"
PROBABILITIES = "probabilities"
PREDICTION = "prediction"
EXTENSIONS = ("binary_tensor_data",)


def routes(
    settings: Settings, lane: str, readiness: Readiness, infer: Route
) -> dict[str, dict[str, tuple[str, Route]]]:
    """The protocol's routes, by path and method."""
    server = orjson.dumps(
        {"name": "mlifecycle", "version": settings.version, "extensions": EXTENSIONS}
    )
    model = orjson.dumps(
        {
            "name": settings.name,
            "versions": [settings.version],
            "platform": f"{settings.framework}_{lane}",
            "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, len(settings.inputs)]}],
            "outputs": [
                {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, len(settings.classes)]},
                {"name": PREDICTION, "datatype": "BYTES", "shape": [-1]},
            ],
            "parameters": {"features": ",".join(feature.name for feature in settings.inputs)},
        }
    )

    def ready(exchange: Exchange) -> None:
        reasons = readiness.reasons()
        exchange.reply(
            503 if reasons else 200, b'{"ready":%b}' % (b"false" if reasons else b"true")
        )

    found: dict[str, dict[str, tuple[str, Route]]] = {
        "/v2": {"GET": ("v2", lambda exchange: exchange.reply(200, server))},
        "/v2/health/live": {"GET": ("v2", lambda exchange: exchange.reply(200, b'{"live":true}'))},
        "/v2/health/ready": {"GET": ("v2", ready)},
    }
    named = f"/v2/models/{settings.name}"
    for path in (named, f"{named}/versions/{settings.version}"):
        found[path] = {"GET": ("v2", lambda exchange: exchange.reply(200, model))}
        found[f"{path}/ready"] = {"GET": ("v2", ready)}
        found[f"{path}/infer"] = {"POST": ("infer", infer)}
    return found
