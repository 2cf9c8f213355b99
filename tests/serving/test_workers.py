"""Several processes on one socket: counted together, one model between them, started and ended."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import eventually
from served_example import RELEASE


@pytest.fixture
def running(make_release: Callable[..., Path]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "serving", "--release", str(make_release())]
    more = ["--release-digest", RELEASE, "--port", str(port), "--workers", "2"]
    with subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True) as process:
        try:
            started = 0
            for line in process.stderr or ():
                started += line.startswith("serving on")
                if started == 2:
                    break
            assert started == 2
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def children(process: subprocess.Popen[str]) -> set[int]:
    return {
        int(pid)
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    }


def sample(address: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", httpx.get(f"{address}/metrics").text, re.M)
    assert found
    return float(found[1])


def test_they_count_together_share_the_model_and_are_kept(
    running: tuple[subprocess.Popen[str], str], manifest: dict[str, Any]
) -> None:
    process, address = running
    instance = manifest["spec"]["inference"]["golden_inputs"][0]["instance"]
    body = json.dumps({"instances": [instance] * 3})

    def ask(_: int) -> str:
        answer = httpx.post(f"{address}/predict", content=body)
        assert answer.status_code == 200
        return answer.headers["x-request-id"].split("-")[0]

    with ThreadPoolExecutor(8) as pool:
        processes = set(pool.map(ask, range(200)))
    assert len(processes) <= 2
    counted = 'mlifecycle_requests_total{route="predict",status="200"}'
    # whichever worker is scraped, it tells what all of them have counted
    assert {sample(address, counted) for _ in range(10)} == {200}
    assert sample(address, 'mlifecycle_predictions_total{prediction="legitimate"}') == 600

    before = children(process)
    assert len(before) == 2
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(children(process)) == 2 and children(process) != before)
    eventually(lambda: httpx.get(f"{address}/ready").status_code == 200)
    # what the lost one has counted is not lost
    assert sample(address, counted) == 200


def test_a_signal_ends_them_all_and_the_code_is_zero(
    running: tuple[subprocess.Popen[str], str],
) -> None:
    process, address = running
    workers = children(process)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert time.monotonic() - began < 60
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_one_that_cannot_start_ends_them_all() -> None:
    code = "import sys; from serving import workers; sys.exit(workers.serve(2, lambda index: 3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 1


@pytest.mark.parametrize("more", [["--workers", "0"], ["--workers", "2", "--control", "x"]])
def test_a_number_that_makes_no_sense_is_a_usage_error(tmp_path: Path, more: list[str]) -> None:
    command = [sys.executable, "-m", "serving", "--release", str(tmp_path)]
    done = subprocess.run(
        [*command, "--release-digest", RELEASE, *more], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "--workers" in done.stderr
