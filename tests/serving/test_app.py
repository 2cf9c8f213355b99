"""The HTTP interface: answers, refusals in one shape, and no failure by anything a caller sends."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from served_example import connected

from serving.app import create_app
from serving.errors import UnfitModel
from serving.http.application import Application
from serving.http.problems import MAX_DETAILS
from serving.lanes.interface import Lane
from serving.limits import Limits
from serving.settings import Settings

pytestmark = pytest.mark.anyio

Served = tuple[Settings, Lane]
Client = Callable[[], Any]
MAX_BODY = Limits().max_body


class Broken:
    """A model that fails on every row."""

    name = "broken"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def predict(self, rows: Any) -> Any:
        raise self.error


def body(*instances: Any) -> bytes:
    return json.dumps({"instances": instances}).encode()


def is_error(response: Any, status: int, code: str) -> list[dict[str, Any]]:
    assert response.status_code == status
    error = response.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["request_id"] == response.headers["x-request-id"]
    assert set(error) == {"code", "message", "details", "request_id"}
    details: list[dict[str, Any]] = error["details"]
    return details


async def test_health_ready_and_info(client: Client, served: Served) -> None:
    settings, _ = served
    async with client() as http:
        assert (await http.get("/health")).json() == {"status": "ok"}
        ready = await http.get("/ready")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
        info = (await http.get("/model/info")).json()
    assert info["name"] == "fraud-detector"
    assert info["version"] == "1.2.0"
    assert info["digest"] == settings.digest
    assert info["release"] == settings.release
    assert info["signature"]["classes"] == ["legitimate", "fraud"]
    assert info["signature"]["inputs"][0] == {
        "name": "amount",
        "type": "float",
        "minimum": 0,
        "maximum": 25000,
    }


async def test_a_prediction_has_the_promised_shape(client: Client, served: Served) -> None:
    settings, _ = served
    goldens = settings.golden_inputs
    async with client() as http:
        response = await http.post("/predict", content=body(*(g.instance for g in goldens)))
        arrays = await http.post(
            "/predict", content=body(*([*g.instance.values()] for g in goldens))
        )
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == {"predictions", "model_name", "model_version", "inference_time_ms"}
    assert (answer["model_name"], answer["model_version"]) == ("fraud-detector", "1.2.0")
    assert answer["inference_time_ms"] >= 0
    assert arrays.json()["predictions"] == answer["predictions"]
    for golden, prediction in zip(goldens, answer["predictions"], strict=True):
        assert set(prediction) == {"prediction", "confidence", "probabilities"}
        assert prediction["prediction"] == golden.prediction
        assert prediction["probabilities"] == pytest.approx(golden.probabilities, abs=0.001)
        assert prediction["confidence"] == max(prediction["probabilities"].values())


async def test_a_wrong_value_is_named_with_what_is_expected(client: Client, served: Served) -> None:
    instance = {**served[0].golden_inputs[0].instance, "hour": 99}
    async with client() as http:
        response = await http.post(
            "/predict", content=body(instance), headers={"x-request-id": "my-request.1"}
        )
    details = is_error(response, 422, "invalid_instances")
    assert details == [
        {"instance": 0, "feature": "hour", "value": 99, "expected": "a whole number from 0 to 23"}
    ]
    assert response.headers["x-request-id"] == "my-request.1"


async def test_a_foreign_request_id_is_not_repeated(client: Client) -> None:
    async with client() as http:
        response = await http.post("/predict", content=b"", headers={"x-request-id": "a b<c>"})
    is_error(response, 400, "invalid_json")
    assert "<" not in response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b'{"instances": [[NaN]]}', 400, "invalid_json"),
        (b'{"instances": [[Infinity]]}', 400, "invalid_json"),
        (b"null", 422, "invalid_request"),
        (b"[]", 422, "invalid_request"),
        (b"{}", 422, "invalid_request"),
        (b'{"instances": [], "more": 1}', 422, "invalid_request"),
        (b'{"instances": []}', 422, "invalid_instances"),
        (b'{"instances": null}', 422, "invalid_instances"),
        (b'{"instances": [[1e999,0,0,0,0,0,0,0,0]]}', 400, "invalid_json"),
        (b'{"instances": [[1' + b"0" * 400 + b",0,0,0,0,0,0,0,0]]}", 400, "invalid_json"),
        (b'{"instances": ["' + b"x" * 5000 + b'"]}', 422, "invalid_instances"),
        (b" " * (MAX_BODY + 1), 413, "body_too_large"),
    ],
)
async def test_other_bodies_are_refused(
    content: bytes, status: int, code: str, client: Client
) -> None:
    async with client() as http:
        response = await http.post("/predict", content=content)
    is_error(response, status, code)
    assert len(response.content) < 5000


async def test_a_body_too_large_is_not_read_to_its_end(client: Client) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 50 * MAX_BODY:
            sent += 2**20
            yield bytes(2**20)

    async with client() as http:
        response = await http.post("/predict", content=endless())
    is_error(response, 413, "body_too_large")
    assert sent < 3 * MAX_BODY


async def test_many_faults_are_shown_in_part(client: Client) -> None:
    async with client() as http:
        response = await http.post("/predict", content=body(*[[-1] * 9] * 100))
    assert len(is_error(response, 422, "invalid_instances")) == MAX_DETAILS
    assert "900" in response.json()["error"]["message"]


async def test_unknown_paths_and_methods_have_the_same_shape(client: Client) -> None:
    async with client() as http:
        is_error(await http.get("/nowhere"), 404, "not_found")
        response = await http.get("/predict")
    is_error(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


async def test_without_a_model_the_server_is_alive_and_not_ready(served: Served) -> None:
    async with connected(create_app(served[0], None)) as http:
        assert (await http.get("/health")).status_code == 200
        ready = await http.get("/ready")
        predicted = await http.post("/predict", content=body([0] * 9))
    assert ready.status_code == 503
    assert ready.json()["reasons"] == ["the model is not loaded"]
    is_error(predicted, 503, "not_ready")


async def test_a_model_that_misses_a_golden_input_is_not_ready(served: Served) -> None:
    settings, model = served
    first = replace(settings.golden_inputs[0], prediction="fraud")
    app = create_app(replace(settings, golden_inputs=(first,)), model)
    async with connected(app) as http:
        ready = await http.get("/ready")
        predicted = await http.post("/predict", content=body([0] * 9))
    assert ready.status_code == 503
    assert "predicted legitimate instead of fraud" in ready.json()["reasons"][0]
    assert app.readiness.lasting == tuple(ready.json()["reasons"])
    is_error(predicted, 503, "not_ready")


async def test_a_model_that_fails_on_valid_input_is_a_500_without_its_inside(
    served: Served,
) -> None:
    app = create_app(served[0], Broken(UnfitModel("its inside")))
    app.readiness.lasting = ()
    async with connected(app) as http:
        response = await http.post("/predict", content=body([0] * 9))
    is_error(response, 500, "model_failed")
    assert "inside" not in response.text


async def test_an_unforeseen_failure_has_the_same_shape(served: Served) -> None:
    broken = Broken(UnfitModel("at first"))
    app = create_app(served[0], broken)
    app.readiness.lasting = ()
    broken.error = ZeroDivisionError("inside")
    async with connected(app) as http:
        response = await http.post("/predict", content=body([0] * 9))
    is_error(response, 500, "model_failed")
    assert "inside" not in response.text


async def test_metrics_count_requests_predictions_and_durations(
    client: Client, served: Served
) -> None:
    spree = served[0].golden_inputs[1].instance
    async with client() as http:
        await http.post("/predict", content=body(spree, spree))
        await http.post("/predict", content=b"{")
        response = await http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = response.text.splitlines()
    assert 'mlifecycle_requests_total{route="predict",status="200"} 1.0' in lines
    assert 'mlifecycle_requests_total{route="predict",status="400"} 1.0' in lines
    assert 'mlifecycle_predictions_total{prediction="fraud"} 2.0' in lines
    assert 'mlifecycle_predictions_total{prediction="legitimate"} 0.0' in lines
    assert 'mlifecycle_request_duration_seconds_count{route="predict"} 2.0' in lines
    [model] = [line for line in lines if line.startswith("mlifecycle_model_info{")]
    assert served[0].digest in model


async def test_metrics_can_be_off(served: Served) -> None:
    settings, model = served
    async with connected(create_app(replace(settings, metrics=False), model)) as http:
        is_error(await http.get("/metrics"), 404, "not_found")


async def test_the_openapi_document_describes_the_signature(client: Client) -> None:
    async with client() as http:
        document = (await http.get("/openapi.json")).json()
    schema = document["components"]["schemas"]["Instances"]
    [instance, row] = schema["properties"]["instances"]["items"]["oneOf"]
    assert instance["properties"]["hour"] == {"type": "integer", "minimum": 0, "maximum": 23}
    assert row["minItems"] == 9


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=10) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
bodies = st.one_of(
    st.binary(max_size=60),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.lists(st.lists(json_values, min_size=9, max_size=9) | json_values).map(
        lambda value: json.dumps({"instances": value}).encode()
    ),
)


@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=bodies)
async def test_no_body_makes_the_server_fail(content: bytes, app: Application) -> None:
    async with connected(app) as http:
        response = await http.post("/predict", content=content)
    if response.status_code == 200:
        for prediction in response.json()["predictions"]:
            assert math.isclose(sum(prediction["probabilities"].values()), 1, abs_tol=1e-5)
    else:
        assert 400 <= response.status_code < 500
        assert response.json()["error"]["code"]
