"""The HTTP interface of one model.

`/predict` reads and checks its body by hand: a signature known only at run time gains nothing
from a model class per request, and the usual validation costs several times the prediction.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from serving import golden, logs
from serving.errors import UnfitModel
from serving.inputs import MAX_INSTANCES, Fault, InvalidInstances, to_rows
from serving.metrics import CONTENT_TYPE, Metrics
from serving.model import Model
from serving.settings import Settings

MAX_BODY = 4 * 2**20  # bytes
MAX_DETAILS = 20

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger("serving.app")


class Refused(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, status: int, code: str, message: str, faults: Sequence[Fault] = ()) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.faults = faults
        super().__init__(message)


def create_app(settings: Settings, model: Model | None) -> FastAPI:
    """The application for `model`, or one that is alive and never ready when there is none.

    `app.state.not_ready` holds the reasons why `/ready` says no; empty, it says yes.
    """
    logs.configure(settings)
    app = FastAPI(title=settings.name, version=settings.version, docs_url=None, redoc_url=None)
    metrics = Metrics(settings)
    app.state.not_ready = (
        golden.failures(settings, model) if model is not None else ("the model is not loaded",)
    )
    for reason in app.state.not_ready:
        _log.error("not ready: %s", reason)

    @app.get("/health")
    async def health() -> Response:
        """The process answers."""
        return _json(200, {"status": "ok"})

    @app.get("/ready")
    async def ready() -> Response:
        """The model is loaded and answers its golden inputs as expected."""
        reasons = app.state.not_ready
        if reasons:
            return _json(503, {"status": "not ready", "reasons": list(reasons)})
        return _json(200, {"status": "ready"})

    @app.get("/model/info")
    async def info() -> Response:
        """What is served, by its digests, and what it takes and answers."""
        return _json(200, _info(settings))

    if settings.metrics:

        @app.get("/metrics")
        async def exposition() -> Response:
            """Prometheus metrics."""
            return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    @app.post("/predict", openapi_extra=_body(settings))
    async def predict(request: Request) -> Response:
        """A class, its probability and all classes' probabilities for every instance."""
        begun = time.perf_counter()
        try:
            if model is None or app.state.not_ready:
                raise Refused(503, "not_ready", "The model is not ready: see /ready.")
            rows = _rows(await _read(request), settings)
            asked = time.perf_counter()
            predictions = _predictions(model, rows, settings)
            response = _json(
                200,
                {
                    "predictions": predictions,
                    "model_name": settings.name,
                    "model_version": settings.version,
                    "inference_time_ms": round((time.perf_counter() - asked) * 1000, 3),
                },
            )
            for prediction in predictions:
                metrics.predicted(prediction["prediction"])
        except Refused as refused:
            response = _error(request, refused)
        metrics.answered(response.status_code, time.perf_counter() - begun)
        return response

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: Exception) -> Response:
        status = cast(HTTPException, error).status_code
        code = {404: "not_found", 405: "method_not_allowed"}.get(status, "http_error")
        response = _error(request, Refused(status, code, f"{request.method} {request.url.path}"))
        response.headers.update(cast(HTTPException, error).headers or {})  # Allow, for a 405
        return response

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        refused = Refused(500, "internal_error", "The server failed; its log says why.")
        return _error(request, refused)

    return app


async def _read(request: Request) -> bytes:
    """The body, up to MAX_BODY bytes: more is refused before it is held."""
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY:
                raise Refused(413, "body_too_large", f"A body may have {MAX_BODY} bytes.")
            parts.append(part)
    except ClientDisconnect:
        raise Refused(400, "incomplete_body", "The body ended early.") from None
    return b"".join(parts)


def _rows(body: bytes, settings: Settings) -> list[list[float]]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, "invalid_json", f"The body is no JSON: {error}.") from None
    if not isinstance(document, dict) or document.keys() != {"instances"}:
        fault = Fault(None, None, document, '{"instances": [...]} and nothing beside it')
        raise Refused(422, "invalid_request", "The body is not a request.", [fault])
    try:
        return to_rows(document["instances"], settings.inputs)
    except InvalidInstances as error:
        raise Refused(422, "invalid_instances", f"{error}.", error.faults) from None


def _predictions(model: Model, rows: list[list[float]], settings: Settings) -> list[dict[str, Any]]:
    try:
        answers = model.predict(rows)
    except UnfitModel as error:
        _log.error("the model failed on %d valid rows", len(rows), exc_info=error)
        raise Refused(500, "model_failed", "The model failed on valid input.") from None
    predictions = []
    for answer in answers:
        confidence = max(answer)
        predictions.append(
            {
                "prediction": settings.classes[answer.index(confidence)],
                "confidence": confidence,
                "probabilities": dict(zip(settings.classes, answer, strict=True)),
            }
        )
    return predictions


def _json(status: int, content: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


def _error(request: Request, refused: Refused) -> Response:
    sent = request.headers.get("x-request-id", "")
    request_id = sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
    _log.info("request %s refused: %d %s", request_id, refused.status, refused.code)
    faults = refused.faults[:MAX_DETAILS]
    content = {
        "error": {
            "code": refused.code,
            "message": refused.message,
            "details": [{**asdict(fault), "value": _short(fault.value)} for fault in faults],
            "request_id": request_id,
        }
    }
    return _json(refused.status, content, {"x-request-id": request_id})


def _short(value: Any) -> Any:
    """The offending value as it was sent when it is small, else the beginning of it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
    except TypeError:  # nested deeper than orjson writes, though not deeper than it reads
        return f"a deeply nested {'object' if isinstance(value, dict) else 'array'}"
    return text if len(text) <= 100 else text[:97] + "..."


def _info(settings: Settings) -> dict[str, Any]:
    return {
        "name": settings.name,
        "version": settings.version,
        "description": settings.description,
        "framework": settings.framework,
        "digest": settings.digest,
        "release": settings.release,
        "signature": {
            "inputs": [asdict(feature) for feature in settings.inputs],
            "classes": list(settings.classes),
        },
        "max_instances": MAX_INSTANCES,
    }


def _body(settings: Settings) -> dict[str, Any]:
    """The request body for /openapi.json."""
    properties: dict[str, Any] = {}
    for feature in settings.inputs:
        limits = {"minimum": feature.minimum, "maximum": feature.maximum}
        kind = "integer" if feature.type == "integer" else "number"
        properties[feature.name] = {
            "type": kind,
            **{key: limit for key, limit in limits.items() if limit is not None},
        }
    instance = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    row = {
        "type": "array",
        "items": {"type": "number"},
        "minItems": len(properties),
        "maxItems": len(properties),
    }
    instances = {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_INSTANCES,
        "items": {"oneOf": [instance, row]},
    }
    schema = {
        "type": "object",
        "properties": {"instances": instances},
        "required": ["instances"],
        "additionalProperties": False,
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
