"""What a caller does on its connection is its own affair: bounded, answered, and no one else's."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from live import Live, Model, application, eventually, live, received

from serving.lanes.interface import Lane
from serving.limits import Limits
from serving.settings import Settings

BODY = json.dumps({"instances": [[0.5, 1, 1, 0.5, 1, 1, 1, 1, 1]]}).encode()
LIMITS = Limits(
    max_header=8192,
    header_seconds=1.0,
    body_seconds=1.5,
    write_seconds=1.0,
    max_connections=40,
    max_body=300_000,
    max_held=400_000,
)

Served = tuple[Settings, Lane]


def request(body: bytes = BODY, path: str = "/predict", *lines: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


LAST = request(BODY, "/predict", "Connection: close")


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def running(served: Served, model: Model) -> Iterator[Live]:
    with live(application(served[0], model, limits=LIMITS)) as found:
        yield found


@pytest.fixture
def send(running: Live) -> Callable[[bytes], bytes]:
    """Send bytes on a connection of their own; give what comes until the server closes."""

    def sent(data: bytes) -> bytes:
        with running.raw() as connection:
            connection.sendall(data)
            return received(connection)

    return sent


def statuses(answers: bytes) -> list[int]:
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


def still_answers(running: Live) -> None:
    assert running.ask("/predict", json.loads(BODY))[0] == 200


def test_pipelined_requests_are_answered_in_their_order(send: Any) -> None:
    answers = send(
        request() * 3 + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + request(b"{") + LAST
    )
    assert statuses(answers) == [200, 200, 200, 200, 400, 200]
    assert answers.index(b'"status":"ok"') < answers.index(b"invalid_json")


def test_a_long_pipeline_is_answered_as_a_whole(send: Any) -> None:
    assert statuses(send(request() * 2000 + LAST)) == [200] * 2001


def test_a_page_in_a_pipeline_keeps_its_place(send: Any) -> None:
    page = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = send(request() + page + request() + page + LAST)
    assert statuses(answers) == [200] * 5


@pytest.mark.parametrize("pause", [0, 0.01])
def test_a_request_in_pieces_is_the_same_request(running: Live, pause: float) -> None:
    with running.raw() as connection:
        for at in range(0, len(LAST), 7):
            connection.sendall(LAST[at : at + 7])
            time.sleep(pause)
        assert statuses(received(connection)) == [200]


def test_a_chunked_body_is_a_body(send: Any) -> None:
    head = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    )
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, BODY[i : i + 1]) for i in range(len(BODY)))
    assert statuses(send(head + b"\r\n" + chunks + b"0\r\n\r\n")) == [200]


def test_a_client_that_asks_first_is_told_to_go_on(running: Live) -> None:
    head, body = request(BODY, "/predict", "Expect: 100-continue", "Connection: close").split(
        b"\r\n\r\n"
    )
    with running.raw() as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert statuses(received(connection)) == [200]


def test_an_old_client_is_answered_and_its_connection_closed(send: Any) -> None:
    answers = send(b"GET /health HTTP/1.0\r\n\r\n")
    assert statuses(answers) == [200]
    assert b"connection: close" in answers


def test_an_offer_of_another_protocol_is_declined(send: Any) -> None:
    lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA")
    head = "\r\n".join(["GET /health HTTP/1.1", "Host: x", *lines, "", ""])
    assert statuses(send(head.encode())) == [200]
    # with a body, of which the parser takes none
    answers = send(request(BODY, "/predict", *lines))
    assert statuses(answers) == [400]
    assert b"without Upgrade" in answers


def test_a_head_request_gets_no_body(send: Any) -> None:
    answers = send(b"HEAD /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert statuses(answers) == [405]
    assert answers.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /health HTTP/1.1\r\nHo st: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_400_and_the_end_of_the_connection(
    running: Live, send: Any, data: bytes
) -> None:
    assert statuses(send(data)) == [400]
    still_answers(running)


@pytest.mark.parametrize("whole", [True, False])
def test_a_huge_head_is_a_431(running: Live, send: Any, whole: bool) -> None:
    head = b"GET /health HTTP/1.1\r\nHost: x\r\nCookie: " + b"c" * 20_000
    assert statuses(send(head + b"\r\n\r\n" if whole else head)) == [431]
    assert running.metric('mlifecycle_errors_total{code="headers_too_large"}') == 1
    still_answers(running)


def test_many_small_requests_at_once_are_no_huge_head(send: Any) -> None:
    small = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    assert statuses(send(small * 1000 + LAST)) == [200] * 1001


@pytest.mark.parametrize(
    "start", [b"P", b"POST /predict HTTP/1.1\r\nHost: x\r\nA: ", request()[:-5]]
)
def test_a_request_that_never_ends_is_ended_and_nobody_else_notices(
    running: Live, start: bytes
) -> None:
    with running.raw() as slow:
        slow.sendall(start)
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(0.2):
                try:
                    slow.sendall(b"a")
                except OSError:
                    return

        thread = threading.Thread(target=trickle if b"A: " in start else lambda: None)
        thread.start()
        still_answers(running)
        answer = received(slow)
        stop.set()
        thread.join()
    assert statuses(answer) == [408]
    still_answers(running)


def test_a_body_too_large_is_refused_once_and_not_kept(running: Live) -> None:
    with running.raw() as connection:
        connection.sendall(request(b" " * 400_000) + LAST)
        assert statuses(received(connection)) == [413, 200]
    assert running.application.held == 0


def test_all_bodies_together_are_bounded(running: Live) -> None:
    parts = [running.raw() for _ in range(3)]
    for connection in parts:
        connection.sendall(request(b" " * 250_000)[:-10])
    eventually(lambda: running.metric('mlifecycle_errors_total{code="overloaded"}') >= 1)
    assert running.application.held < LIMITS.max_held
    still_answers(running)
    for connection in parts:
        connection.close()
    eventually(lambda: running.application.held == 0)


def test_a_caller_that_does_not_read_its_answers_loses_its_connection(running: Live) -> None:
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(0.5)
        deaf.connect(("127.0.0.1", running.port))
        asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100

        def lost() -> bool:
            try:
                deaf.sendall(asked)
            except TimeoutError:
                still_answers(running)
            except ConnectionError:
                return True
            return False

        eventually(lost)
    eventually(lambda: len(running.server.server_state.connections) <= 1)


def test_too_many_connections_are_refused_and_those_that_are_open_work(running: Live) -> None:
    kept = running.connection()
    assert running.ask("/health", on=kept)[0] == 200
    others = [running.raw() for _ in range(LIMITS.max_connections)]
    eventually(lambda: len(running.server.server_state.connections) >= LIMITS.max_connections)
    with running.raw() as late:
        answer = received(late)
    assert statuses(answer) == [429]
    assert b"retry-after: 1" in answer
    assert running.ask("/predict", json.loads(BODY), on=kept)[0] == 200
    kept.close()
    for connection in others:
        connection.close()
    eventually(lambda: len(running.server.server_state.connections) == 0)
    still_answers(running)


def test_who_leaves_while_waiting_leaves_the_queue(running: Live, model: Model) -> None:
    model.seconds = 0.3
    for _ in range(4):  # long calls go to a thread: the loop stays free
        still_answers(running)
    calls = len(model.calls)
    first = running.raw()
    first.sendall(request())
    eventually(lambda: len(model.calls) > calls)
    leaving = [running.raw() for _ in range(5)]
    for connection in leaving:
        connection.sendall(request())
    eventually(lambda: running.application.batcher.waiting == 5)
    for connection in leaving:
        connection.close()
    assert first.recv(1000).startswith(b"HTTP/1.1 200")
    first.close()
    eventually(lambda: running.metric("mlifecycle_abandoned_requests_total") == 5)
    assert len(model.calls) == calls + 1
    still_answers(running)
