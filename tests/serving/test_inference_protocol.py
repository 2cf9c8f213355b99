"""The Open Inference Protocol, asked by a client that is not ours, and refused in its shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from live import Live, live
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from serving.app import create_app
from serving.lanes.interface import Lane
from serving.settings import Settings

MODEL = "fraud-detector"
INFER = f"/v2/models/{MODEL}/infer"


@pytest.fixture(scope="module")
def running(served: tuple[Settings, Lane]) -> Iterator[Live]:
    with live(create_app(*served)) as found:
        yield found


@pytest.fixture
def client(running: Live) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{running.port}") as found:
        yield found


@pytest.fixture
def rows(served: tuple[Settings, Lane]) -> np.ndarray[Any, Any]:
    return np.array([list(g.instance.values()) for g in served[0].golden_inputs], np.float32)


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1.2.0")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    model = client.get_model_metadata(MODEL, "1.2.0")
    assert model["name"] == MODEL
    assert model["versions"] == ["1.2.0"]
    assert model["inputs"] == [{"name": "instances", "datatype": "FP32", "shape": [-1, 9]}]


@pytest.mark.parametrize("sent_binary", [True, False])
@pytest.mark.parametrize("wanted_binary", [True, False])
def test_tensors_go_both_ways_in_json_and_in_binary(
    client: Any,
    rows: np.ndarray[Any, Any],
    served: tuple[Settings, Lane],
    sent_binary: bool,
    wanted_binary: bool,
) -> None:
    tensor = triton.InferInput("instances", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows, binary_data=sent_binary)
    outputs = [
        triton.InferRequestedOutput(name, binary_data=wanted_binary)
        for name in ("prediction", "probabilities")
    ]
    answer = client.infer(MODEL, [tensor], outputs=outputs, request_id="mine")
    assert answer.get_response()["id"] == "mine"
    probabilities = answer.as_numpy("probabilities")
    assert probabilities.dtype == np.float32
    predictions = [
        text.decode() if isinstance(text, bytes) else text for text in answer.as_numpy("prediction")
    ]
    for golden, prediction, found in zip(
        served[0].golden_inputs, predictions, probabilities, strict=True
    ):
        assert prediction == golden.prediction
        assert found == pytest.approx(list((golden.probabilities or {}).values()), abs=0.001)


def test_without_outputs_all_are_answered_as_the_request_says(
    client: Any, rows: np.ndarray[Any, Any]
) -> None:
    tensor = triton.InferInput("instances", list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows.astype(np.float64))
    answer = client.infer(MODEL, [tensor])  # tritonclient asks for binary_data_output
    assert {each["name"] for each in answer.get_response()["outputs"]} == {
        "probabilities",
        "prediction",
    }
    assert answer.as_numpy("probabilities").shape == (len(rows), 2)


def test_both_interfaces_answer_the_same(running: Live, rows: np.ndarray[Any, Any]) -> None:
    first = running.ask("/predict", {"instances": rows.tolist()})[1]["predictions"]
    document = {"inputs": [tensor_of(rows.tolist(), list(rows.shape))]}
    second = running.ask(INFER, document)[1]["outputs"]
    flat = [value for each in first for value in each["probabilities"].values()]
    assert second[0]["data"] == pytest.approx(flat, abs=1e-6)
    assert second[1]["data"] == [each["prediction"] for each in first]


def test_a_value_out_of_range_is_named_to_the_client(
    client: Any, rows: np.ndarray[Any, Any]
) -> None:
    rows[1, 2] = 99
    tensor = triton.InferInput("instances", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    with pytest.raises(InferenceServerException, match=r"hour is 99\.0 instead of a whole number"):
        client.infer(MODEL, [tensor])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_in_binary_too(
    client: Any, rows: np.ndarray[Any, Any], value: float
) -> None:
    rows[0, 0] = value
    tensor = triton.InferInput("instances", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    with pytest.raises(InferenceServerException, match="amount is"):
        client.infer(MODEL, [tensor])


def test_other_models_and_versions_are_not_there(client: Any) -> None:
    assert not client.is_model_ready("another")
    assert not client.is_model_ready(MODEL, "9")
    with pytest.raises(InferenceServerException, match="404"):
        client.get_model_metadata("another")


def tensor_of(data: Any, shape: list[int], **more: Any) -> dict[str, Any]:
    return {"name": "instances", "shape": shape, "datatype": "FP32", "data": data, **more}


ROW = [1, 1, 1, 0.5, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"inputs": []},
        {"inputs": [tensor_of(ROW, [1, 9]), tensor_of(ROW, [1, 9])]},
        {"inputs": [tensor_of(ROW, [1, 9])], "unknown": 1},
        {"inputs": [tensor_of(ROW, [1, 9])], "id": 7},
        {"inputs": [tensor_of(ROW, [1, 9])], "parameters": 7},
        {"inputs": [tensor_of(ROW, [1, 9])], "outputs": [{"name": "x"}]},
        {"inputs": [tensor_of(ROW, [1, 9])], "outputs": [{"name": []}]},
        {"inputs": [tensor_of(ROW, [1, 9])], "outputs": [{"name": "prediction"}] * 2},
        {"inputs": [tensor_of(ROW, [1, 9], more=1)]},
        {"inputs": [tensor_of(ROW, [9])]},
        {"inputs": [tensor_of(ROW, [2, 9])]},
        {"inputs": [tensor_of(ROW, [0, 9])]},
        {"inputs": [tensor_of(ROW, [-1, 9])]},
        {"inputs": [tensor_of(ROW, [True, 9])]},
        {"inputs": [tensor_of(ROW[:-1], [1, 9])]},
        {"inputs": [tensor_of([ROW[:-1]], [1, 9])]},
        {"inputs": [tensor_of(["1"] * 9, [1, 9])]},
        {"inputs": [tensor_of([True] * 9, [1, 9])]},
        {"inputs": [tensor_of([None] * 9, [1, 9])]},
        {"inputs": [tensor_of("data", [1, 9])]},
        {"inputs": [{**tensor_of(ROW, [1, 9]), "name": "other"}]},
        {"inputs": [{**tensor_of(ROW, [1, 9]), "datatype": "BYTES"}]},
        {"inputs": [{**tensor_of(ROW, [1, 9]), "datatype": ["FP32"]}]},
        {"inputs": [{**tensor_of(ROW, [1, 9]), "datatype": "INT64"}]},
        {"inputs": [tensor_of(ROW, [1, 9], parameters={"shared_memory_region": "x"})]},
        {"inputs": [tensor_of(ROW, [1, 9], parameters={"binary_data_size": 36})]},
    ],
)
def test_what_is_no_request_is_a_400(running: Live, document: Any) -> None:
    connection = running.connection()
    connection.request("POST", INFER, json.dumps(document))
    answer = connection.getresponse()
    error = json.loads(answer.read())
    connection.close()
    assert answer.status == 400
    assert isinstance(error["error"], str)
    assert error["code"] == "invalid_tensor"
    assert error["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("length", "binary"),
    [("x", b""), ("-1", b""), ("9999999", b""), ("9" * 40, b""), (None, b"1234"), ("", b"")],
)
def test_a_wrong_header_length_or_size_is_a_400(
    running: Live, length: str | None, binary: bytes
) -> None:
    tensor = {"name": "instances", "shape": [1, 9], "datatype": "FP32"}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": 36}}]}).encode()
    sent = str(len(head)) if length is None else length
    answer = httpx.post(
        f"http://127.0.0.1:{running.port}{INFER}",
        content=head + binary,
        headers={"inference-header-content-length": sent},
    )
    assert answer.status_code == 400
    assert answer.json()["code"] in ("invalid_tensor", "invalid_json")


def test_too_many_instances_are_refused(running: Live) -> None:
    document = {"inputs": [tensor_of([ROW] * 1001, [1001, 9])]}
    status, error, _ = running.ask(INFER, document)
    assert (status, error["code"]) == (400, "invalid_tensor")
    assert "1000" in error["error"]
