"""A server that stands in for ours in the tests' small module: it computes nothing.

It answers the golden inputs of its own settings, and `/process` says as what it runs. It takes
ours' arguments, and needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Document = dict[str, Any]


def process() -> Document:
    """What the kernel grants this process, as it says itself."""
    status = Path("/proc/self/status").read_text().splitlines()
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return {
        "root": [mount[3].split(",") for mount in mounts if mount[1] == "/"][-1],
        "writable": [place for place in ("/", "/release", str(Path.home())) if _writable(place)],
        "status": dict(line.split(":\t", 1) for line in status if ":\t" in line),
        "environment": dict(os.environ),
    }


def _writable(folder: str) -> bool:
    probe = Path(folder) / "probe"
    try:
        probe.touch()
    except OSError:
        return False
    probe.unlink()
    return True


def predict(settings: Document, instance: Document) -> Document:
    """The answer that the golden input expects; none for what is no golden input."""
    for golden in settings["golden_inputs"]:
        if golden["instance"] == instance:
            expected = golden["expected"]
            prediction = expected["prediction"]
            return {
                "prediction": prediction,
                "probabilities": expected.get("probabilities") or {prediction: 1.0},
            }
    return {}


def handler(settings: Document) -> type[BaseHTTPRequestHandler]:
    """The answers of one release."""
    info = {
        "release": os.environ["MLIFECYCLE_RELEASE_DIGEST"],
        "name": settings["model"]["name"],
        "version": settings["model"]["version"],
        "digest": settings["model"]["digest"],
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answers = {
                "/model/info": lambda: info,
                "/process": process,
                "/ready": lambda: {"status": "ready"},
            }
            self._answer(answers.get(self.path, dict)())

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found = [predict(settings, instance) for instance in asked["instances"]]
            self._answer({"predictions": found})

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

        def _answer(self, document: Document) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    settings = json.loads((options.release / "settings.json").read_text())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer((options.host, options.port), handler(settings)).serve_forever()


if __name__ == "__main__":
    main()
