"""Who waits, who goes together, who is refused, and whose failure it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from live import Live, Model, application, eventually, live

from serving.lanes.interface import Lane
from serving.limits import Limits
from serving.settings import Settings

Served = tuple[Settings, Lane]
REST = [1, 1, 0.5, 1, 1, 1, 1, 1]


def body(*firsts: float) -> dict[str, Any]:
    return {"instances": [[first, *REST] for first in firsts]}


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def running(served: Served, model: Model) -> Iterator[Live]:
    limits = Limits(max_queue=8, max_batch=4, max_wait=60)
    with live(application(served[0], model, limits=limits)) as found:
        yield found


@pytest.fixture
def busy(running: Live, model: Model) -> Iterator[threading.Event]:
    """The model is in a call that lasts until the event is set; calls go to a thread."""
    running.application.batcher.long_calls()
    release = threading.Event()
    entered = threading.Event()

    def hold(rows: Any) -> bool:
        entered.set()
        assert release.wait(30)
        return False

    model.fails = hold
    thread = threading.Thread(target=running.ask, args=("/predict", body(0.1)))
    thread.start()
    assert entered.wait(30)
    yield release
    release.set()
    thread.join(30)


def test_what_arrives_during_a_call_is_computed_together(
    running: Live, model: Model, busy: threading.Event
) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(running.ask, "/predict", body(i / 10)) for i in range(6)]
        eventually(lambda: running.application.batcher.waiting == 6)
        assert running.metric("mlifecycle_queue_rows") == 6
        busy.set()
        answers = [each.result() for each in asked]
    assert model.calls == [1, 4, 2]
    for i, (status, answer, _) in enumerate(answers):
        assert status == 200
        [prediction] = answer["predictions"]
        assert prediction["probabilities"]["fraud"] == pytest.approx(i / 10, abs=1e-6)
    assert running.metric('mlifecycle_batch_rows_bucket{le="4.0"}') == 3
    assert running.metric("mlifecycle_batch_rows_sum") == 7
    assert running.metric("mlifecycle_queue_rows") == 0


def test_a_full_queue_refuses_at_once_says_when_and_recovers(
    running: Live, busy: threading.Event
) -> None:
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(running.ask, "/predict", body(0.5)) for _ in range(30)]
        eventually(lambda: sum(each.done() for each in asked) >= 22)
        refused = [each.result() for each in asked if each.done()]
        ready, reasons, _ = running.ask("/ready")
        assert running.ask("/health")[0] == 200
        busy.set()
        statuses = [each.result()[0] for each in asked]
    assert (ready, reasons["reasons"]) == (503, ["the queue is full"])
    assert {status for status, *_ in refused} == {429}
    for _, error, headers in refused:
        assert error["error"]["code"] == "overloaded"
        assert int(headers["retry-after"]) >= 1
    assert set(statuses) == {200, 429}
    assert statuses.count(200) == 8
    assert running.metric('mlifecycle_errors_total{code="overloaded"}') == statuses.count(429)
    assert running.ask("/ready")[0] == 200
    assert running.ask("/predict", body(0.5))[0] == 200


def test_one_request_that_the_model_fails_on_fails_alone(
    running: Live, model: Model, busy: threading.Event
) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(running.ask, "/predict", body(i / 10)) for i in range(4)]
        eventually(lambda: running.application.batcher.waiting == 4)
        model.fails = lambda rows: bool((rows[:, 0] == np.float32(0.2)).any())
        busy.set()
        answers = [each.result() for each in asked]
    assert [status for status, *_ in answers] == [200, 200, 500, 200]
    assert answers[2][1]["error"]["code"] == "model_failed"
    assert "inside" not in json.dumps(answers[2][1])
    assert running.metric('mlifecycle_errors_total{code="model_failed"}') == 1
    assert running.ask("/ready")[0] == 200


def test_an_instance_out_of_range_does_not_touch_its_neighbours(
    running: Live, model: Model, busy: threading.Event
) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(running.ask, "/predict", body(*rows)) for rows in ((0.1, -5), (0.7,))]
        eventually(lambda: running.application.batcher.waiting == 3)
        busy.set()
        (bad, error, _), (good, answer, _) = [each.result() for each in asked]
    assert (bad, good) == (422, 200)
    [fault] = error["error"]["details"]
    assert (fault["instance"], fault["feature"], fault["value"]) == (1, "amount", -5)
    assert answer["predictions"][0]["probabilities"]["fraud"] == pytest.approx(0.7, abs=1e-6)
    assert model.calls == [1, 1]


def test_a_model_that_fails_on_everything_is_not_ready_until_it_answers(
    served: Served, running: Live, model: Model
) -> None:
    model.fails = lambda rows: True
    for _ in range(5):
        assert running.ask("/predict", body(0.5))[0] == 500
    status, reasons, _ = running.ask("/ready")
    assert status == 503
    assert "failed on its last 5 calls" in reasons["reasons"][0]
    assert running.metric("mlifecycle_ready") == 0
    model.fails = lambda rows: False
    assert running.ask("/predict", body(0.5))[0] == 200
    assert running.ask("/ready")[0] == 200


def test_a_request_larger_than_a_batch_is_computed_as_one(running: Live, model: Model) -> None:
    status, answer, _ = running.ask("/predict", body(*[0.5] * 10))
    assert status == 200
    assert len(answer["predictions"]) == 10
    assert model.calls == [10]


def test_inline_computes_every_request_by_itself(served: Served, model: Model) -> None:
    with (
        live(application(served[0], model, mode="inline")) as running,
        ThreadPoolExecutor(8) as pool,
    ):
        asked = [pool.submit(running.ask, "/predict", body(i / 10)) for i in range(8)]
        assert {each.result()[0] for each in asked} == {200}
        assert running.ask("/model/info")[1]["batch_mode"] == "inline"
    assert model.calls == [1] * 8
