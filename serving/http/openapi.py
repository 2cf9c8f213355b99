"""The interface described as it behaves, in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from serving.limits import Limits
from serving.settings import Settings


def document(settings: Settings, limits: Limits) -> dict[str, Any]:
    """The document of /openapi.json."""
    schemas: dict[str, Any] = {
        "Error": _object(
            error=_object(
                code=_text(),
                message=_text(),
                details={
                    "type": "array",
                    "items": _object(
                        instance={"type": ["integer", "null"]},
                        feature={"type": ["string", "null"]},
                        value={},
                        expected=_text(),
                    ),
                },
                request_id=_text(),
            )
        ),
        "Instances": _instances(settings, limits),
        "Predictions": _predictions(settings),
        "Health": _object(status={"const": "ok"}),
        "Ready": _object(status={"const": "ready"}),
        "NotReady": _object(
            status={"const": "not ready"}, reasons={"type": "array", "items": _text()}
        ),
        "Info": {"type": "object"},
    }
    paths: dict[str, Any] = {
        "/health": _get("The process answers.", {"200": "Health"}),
        "/ready": _get("The server takes requests.", {"200": "Ready", "503": "NotReady"}),
        "/model/info": _get("What is served.", {"200": "Info"}),
        "/predict": {
            "post": {
                "summary": "A class and all classes' probabilities for every instance.",
                "requestBody": _body("Instances"),
                "responses": {
                    "200": _answer("OK", "Predictions"),
                    **{
                        status: _answer(text, "Error")
                        for status, text in (
                            ("400", "No JSON"),
                            ("413", "Too large"),
                            ("415", "Another media type"),
                            ("422", "Not what the signature allows"),
                            ("429", "Too much at once"),
                            ("500", "The model failed"),
                            ("503", "Not ready"),
                        )
                    },
                },
            }
        },
    }
    if settings.metrics:
        paths["/metrics"] = {
            "get": {
                "summary": "Prometheus' metrics.",
                "responses": {
                    "200": {"description": "OK", "content": {"text/plain": {"schema": _text()}}}
                },
            }
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": settings.name,
            "version": settings.version,
            "description": settings.description,
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _instances(settings: Settings, limits: Limits) -> dict[str, Any]:
    values = {}
    for feature in settings.inputs:
        bounds = {"minimum": feature.minimum, "maximum": feature.maximum}
        values[feature.name] = {
            "type": "integer" if feature.type == "integer" else "number",
            **{key: bound for key, bound in bounds.items() if bound is not None},
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


def _get(summary: str, answers: dict[str, str]) -> dict[str, Any]:
    texts = {"200": "OK", "503": "Not ready"}
    return {
        "get": {
            "summary": summary,
            "responses": {
                status: _answer(texts[status], schema) for status, schema in answers.items()
            },
        }
    }


def _body(schema: str) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": _reference(schema)}}}


def _answer(description: str, schema: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": _reference(schema)}},
    }


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
