"""The OpenAPI document says what the server does: schemathesis looks for where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from live import Live, live
from schemathesis_run import run

from serving.app import create_app
from serving.lanes.interface import Lane
from serving.settings import Settings


@pytest.fixture(scope="module")
def running(served: tuple[Settings, Lane]) -> Iterator[Live]:
    with live(create_app(*served)) as found:
        yield found


@pytest.mark.parametrize("part", ["all but inference", "inference"])
def test_schemathesis_finds_nothing(running: Live, part: str) -> None:
    done = run(f"http://127.0.0.1:{running.port}", part, examples=15)
    assert done.returncode == 0, done.stdout[-5000:]


def test_every_route_that_answers_json_is_described(running: Live) -> None:
    document = running.ask("/openapi.json")[1]
    described = {
        (path, method.upper()) for path, methods in document["paths"].items() for method in methods
    }
    routes = {
        (path, method)
        for path, methods in running.application.routes.items()
        for method in methods
        if path not in ("/docs", "/openapi.json")
    }
    assert described == routes


def test_the_golden_inputs_are_requests_as_described(
    running: Live, served: tuple[Settings, Lane]
) -> None:
    document = running.ask("/openapi.json")[1]
    schemas: dict[str, Any] = document["components"]["schemas"]
    for golden in served[0].golden_inputs:
        body = {"instances": [golden.instance, list(golden.instance.values())]}
        jsonschema.validate(body, schemas["Instances"])
        answer = running.ask("/predict", body)[1]
        jsonschema.validate(answer, schemas["Predictions"])


def test_there_is_a_page_for_people(running: Live) -> None:
    connection = running.connection()
    connection.request("GET", "/docs")
    answer = connection.getresponse()
    assert answer.status == 200
    assert b"/openapi.json" in answer.read()
    connection.close()
