"""The interface described as it behaves, in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from serving.http.infer import DATATYPES
from serving.http.v2 import INPUT, PREDICTION, PROBABILITIES
from serving.limits import Limits
from serving.settings import Settings

# What every route may answer, as it is asked outside of it.
_ANYWHERE = ("401", "403", "429")
_TEXTS = {
    "200": "OK",
    "400": "Not to be read",
    "401": "Nobody who is known",
    "403": "Not allowed",
    "408": "Too slow",
    "413": "Too large",
    "415": "Another media type",
    "422": "Not what the signature allows",
    "429": "Too much at once: Retry-After says when",
    "431": "Too large a head",
    "500": "The model failed",
    "503": "Not ready",
}
_BODY = ("400", "408", "413", "415", "422", "431", "500", "503")
# The largest number of 32 bits: none beyond it reaches a model.
_LARGEST = 3.4028234663852886e38


def document(settings: Settings, limits: Limits) -> dict[str, Any]:
    """The document of /openapi.json."""
    paths: dict[str, Any] = {
        "/health": _get("The process answers.", "Health"),
        "/ready": _get("The server takes requests.", "Ready", "NotReady"),
        "/model/info": _get("What is served.", "Info"),
        "/predict": _post(
            "A class and all classes' probabilities for every instance.",
            "Instances",
            "Predictions",
            "Error",
        ),
        "/v2": _get("The server, by the Open Inference Protocol.", "ServerMetadata"),
        "/v2/health/live": _get("The process answers.", "Live"),
        "/v2/health/ready": _get("The server takes requests.", "IsReady", "IsNotReady"),
    }
    if settings.metrics:
        paths["/metrics"] = _get("Prometheus' metrics.", "Text")
        content = paths["/metrics"]["get"]["responses"]["200"]["content"]
        content["text/plain"] = content.pop("application/json")
    named = quote(f"/v2/models/{settings.name}")
    for path in (named, f"{named}/versions/{quote(settings.version)}"):
        paths[path] = _get("The model's tensors.", "ModelMetadata")
        paths[f"{path}/ready"] = _get("The model takes requests.", "IsReady", "IsNotReady")
        paths[f"{path}/infer"] = _post(
            "A class and all classes' probabilities for every row of the tensor. A tensor's data "
            "may follow the JSON as bytes (the binary tensor extension).",
            "InferRequest",
            "InferResponse",
            "ProtocolError",
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": settings.name,
            "version": settings.version,
            "description": settings.description,
        },
        "paths": paths,
        "components": {"schemas": _schemas(settings, limits)},
    }


def _schemas(settings: Settings, limits: Limits) -> dict[str, Any]:
    rest = {
        "code": _text(),
        "details": {
            "type": "array",
            "items": _object(
                instance={"type": ["integer", "null"]},
                feature={"type": ["string", "null"]},
                value={},
                expected=_text(),
            ),
        },
        "request_id": _text(),
    }
    return {
        "Error": _object(error=_object(message=_text(), **rest)),
        "ProtocolError": _object(error=_text(), **rest),
        "Instances": _instances(settings, limits),
        "Predictions": _predictions(settings),
        "Health": _object(status={"const": "ok"}),
        "Ready": _object(status={"const": "ready"}),
        "NotReady": _object(
            status={"const": "not ready"}, reasons={"type": "array", "items": _text()}
        ),
        "Live": _object(live={"const": True}),
        "IsReady": _object(ready={"const": True}),
        "IsNotReady": _object(ready={"const": False}),
        "Info": {
            "type": "object",
            "required": [
                *("name", "version", "description", "framework", "digest", "release", "lane"),
                *("batch_mode", "signature", "limits"),
            ],
        },
        "Text": _text(),
        **_protocol(settings),
    }


def _protocol(settings: Settings) -> dict[str, Any]:
    width, classes = len(settings.inputs), len(settings.classes)
    name = {"enum": [PROBABILITIES, PREDICTION]}
    size = {"type": "integer", "minimum": 0}
    described = _object(
        name=_text(),
        datatype=_text(),
        shape={"type": "array", "items": {"type": "integer"}},
    )
    numbers = {"type": "array", "items": {"type": "number"}}
    tensor = {
        "type": "object",
        "properties": {
            "name": {"const": INPUT},
            "shape": {
                "type": "array",
                "prefixItems": [{"type": "integer", "minimum": 1}, {"const": width}],
                "items": False,
                "minItems": 2,
            },
            "datatype": {"enum": list(DATATYPES)},
            "parameters": {"type": "object", "properties": {"binary_data_size": size}},
            "data": {"oneOf": [numbers, {"type": "array", "items": numbers}]},
        },
        "required": ["name", "shape", "datatype"],
        "additionalProperties": False,
    }
    wanted = {
        "type": "object",
        "properties": {
            "name": name,
            "parameters": {"type": "object", "properties": {"binary_data": {"type": "boolean"}}},
        },
        "required": ["name"],
        "additionalProperties": False,
    }
    request = {
        "type": "object",
        "properties": {
            "id": _text(),
            "parameters": {
                "type": "object",
                "properties": {"binary_data_output": {"type": "boolean"}},
            },
            "inputs": {"type": "array", "items": tensor, "minItems": 1, "maxItems": 1},
            "outputs": {"type": "array", "items": wanted, "minItems": 1, "maxItems": 2},
        },
        "required": ["inputs"],
        "additionalProperties": False,
    }
    answered = {
        "type": "object",
        "properties": {
            "name": name,
            "datatype": {"enum": ["FP32", "BYTES"]},
            "shape": {"type": "array", "items": size},
            "parameters": {"type": "object", "properties": {"binary_data_size": size}},
            "data": {"type": "array", "items": {"type": ["number", "string"]}},
        },
        "required": ["name", "datatype", "shape"],
        "additionalProperties": False,
    }
    return {
        "ServerMetadata": _object(
            name=_text(), version=_text(), extensions={"type": "array", "items": _text()}
        ),
        "ModelMetadata": _object(
            name={"const": settings.name},
            versions={"const": [settings.version]},
            platform=_text(),
            inputs={"type": "array", "items": described},
            outputs={"type": "array", "items": described, "maxItems": classes},
            parameters={"type": "object"},
        ),
        "InferRequest": request,
        "InferResponse": {
            "type": "object",
            "properties": {
                "model_name": {"const": settings.name},
                "model_version": {"const": settings.version},
                "id": _text(),
                "outputs": {"type": "array", "items": answered},
            },
            "required": ["model_name", "model_version", "outputs"],
            "additionalProperties": False,
        },
    }


def _instances(settings: Settings, limits: Limits) -> dict[str, Any]:
    values = {}
    for feature in settings.inputs:
        values[feature.name] = {
            "type": "integer" if feature.type == "integer" else "number",
            "minimum": -_LARGEST if feature.minimum is None else feature.minimum,
            "maximum": _LARGEST if feature.maximum is None else feature.maximum,
        }
    row = {
        "type": "array",
        "prefixItems": list(values.values()),
        "items": False,
        "minItems": len(values),
        "maxItems": len(values),
    }
    return _object(
        instances={
            "type": "array",
            "minItems": 1,
            "maxItems": limits.max_instances,
            "items": {"oneOf": [_object(**values), row]},
        }
    )


def _predictions(settings: Settings) -> dict[str, Any]:
    share = {"type": "number", "minimum": 0, "maximum": 1.001}
    prediction = _object(
        prediction={"enum": list(settings.classes)},
        confidence=share,
        probabilities=_object(**dict.fromkeys(settings.classes, share)),
    )
    return _object(
        predictions={"type": "array", "minItems": 1, "items": prediction},
        model_name={"const": settings.name},
        model_version={"const": settings.version},
        inference_time_ms={"type": "number", "minimum": 0},
    )


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text() -> dict[str, Any]:
    return {"type": "string"}


def _get(summary: str, schema: str, otherwise: str | None = None) -> dict[str, Any]:
    answers = {"200": _answer("200", schema)}
    if otherwise is not None:
        answers["503"] = _answer("503", otherwise)
    answers |= {status: _answer(status, "Error") for status in _ANYWHERE}
    return {"get": {"summary": summary, "responses": answers}}


def _post(summary: str, body: str, schema: str, error: str) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(body)}}
    answers = {status: _answer(status, error) for status in sorted((*_BODY, *_ANYWHERE))}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": content},
            "responses": {"200": _answer("200", schema), **answers},
        }
    }


def _answer(status: str, schema: str) -> dict[str, Any]:
    return {
        "description": _TEXTS[status],
        "content": {"application/json": {"schema": _reference(schema)}},
    }


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
