"""The server in the tests' images: it answers golden inputs, and can have one fault.

It speaks as ours does (`/health`, `/ready`, `/model/info`, `/predict`, `/metrics`), computes
nothing and needs nothing but Python. `FAULT` in its environment says what is wrong with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FAULT = os.environ.get("FAULT", "")
SETTINGS = json.loads(Path("/release/settings.json").read_text())
INFO = {
    "name": SETTINGS["model"]["name"],
    "version": SETTINGS["model"]["version"],
    "digest": SETTINGS["model"]["digest"],
    "release": os.environ["MLIFECYCLE_RELEASE_DIGEST"],
}
BOUNDS = (0.005, 0.025, 0.1, 0.25, 1.0)


class Counts:
    """Answers by status, and how long they took."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * (len(BOUNDS) + 1)

    def answered(self, status: int, seconds: float) -> None:
        with self.lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.buckets[sum(seconds > bound for bound in BOUNDS)] += 1

    def exposition(self) -> str:
        with self.lock:
            lines = [
                f'mlifecycle_requests_total{{route="predict",status="{status}"}} {count}.0'
                for status, count in self.statuses.items()
            ]
            total = 0
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.buckets, strict=True):
                total += count
                labels = f'{{route="predict",le="{bound}"}}'
                lines.append(f"mlifecycle_request_duration_seconds_bucket{labels} {total}.0")
        return "\n".join([*lines, ""])


COUNTS = Counts()


def predict(instance: dict[str, Any]) -> dict[str, Any]:
    for golden in SETTINGS["golden_inputs"]:
        if golden["instance"] == instance:
            expected = golden["expected"]
            prediction = expected["prediction"]
            if FAULT == "wrong":
                prediction = next(n for n in SETTINGS["signature"]["classes"] if n != prediction)
            return {"prediction": prediction, "probabilities": expected["probabilities"]}
    return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes out in one piece

    def do_GET(self) -> None:
        if self.path == "/ready" and FAULT == "never-ready":
            self._answer(503, {"status": "loading"})
        elif self.path == "/metrics" and FAULT != "unmeasured":
            self._send(200, COUNTS.exposition().encode())
        else:
            self._answer(200, INFO if self.path == "/model/info" else {"status": "ready"})

    def do_POST(self) -> None:
        began = time.perf_counter()
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        time.sleep({"slow": 1.5, "slower": 0.3}.get(FAULT, 0))
        failed = FAULT == "errors" and sum(COUNTS.statuses.values()) > 8
        status = 500 if failed else 200
        COUNTS.answered(status, time.perf_counter() - began)
        self._answer(status, {"predictions": [predict(each) for each in asked["instances"]]})

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, json.dumps(document).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if FAULT == "crash":
        sys.exit("the model cannot be loaded: weights are missing")
    if FAULT == "memory":
        held = []
        while True:
            held.append(b"x" * 2**24)
    ThreadingHTTPServer(("", 8000), Handler).serve_forever()


if __name__ == "__main__":
    main()
