"""Too much at once is refused at once; what is accepted is answered, and then all is as before."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live import eventually
from overload import LIMITS, overload
from served_example import RELEASE

from serving.lanes.interface import Lane
from serving.settings import Settings


@pytest.mark.parametrize("times", [2, 5])
def test_only_answers_and_refusals_and_a_bounded_queue(
    served: tuple[Settings, Lane], times: float
) -> None:
    seen, after = overload(served[0], times, seconds=2)
    assert set(seen.statuses) == {200, 429}
    assert seen.without_retry == 0
    assert seen.longest_queue <= LIMITS.max_queue
    assert seen.grown < 100
    assert after == 200


def test_a_drain_under_load_loses_no_request(
    make_release: Callable[..., Path], manifest: dict[str, Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    instance = manifest["spec"]["inference"]["golden_inputs"][0]["instance"]
    body = json.dumps({"instances": [instance]})
    answered: list[int] = []
    failed: list[str] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            while True:
                connection.request("POST", "/predict", body)
                answer = connection.getresponse()
                answer.read()
                answered.append(answer.status)
                if answer.getheader("connection") == "close":
                    return
        except OSError as error:  # an open request that got no answer
            failed.append(repr(error))
        finally:
            connection.close()

    command = [sys.executable, "-m", "serving", "--release", str(make_release())]
    more = ["--release-digest", RELEASE, "--port", str(port)]
    with subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert any(line.startswith("serving on") for line in process.stderr or ())
            clients = [threading.Thread(target=client) for _ in range(8)]
            for thread in clients:
                thread.start()
            eventually(lambda: len(answered) > 200)
            process.send_signal(signal.SIGTERM)
            for thread in clients:
                thread.join(60)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert failed == []
    assert set(answered) == {200}
