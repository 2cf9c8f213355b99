"""schemathesis, run on a server by its program."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path


def run(address: str, part: str, examples: int) -> subprocess.CompletedProcess[str]:
    """Try the described interface with `examples` for each operation and kind of test.

    Of a tensor, JSON schema cannot say that the shape fits the data: what is right by the schema
    may be refused there, so this alone is not asked of `inference`.
    """
    program = Path(sys.executable).with_name("schemathesis")
    chosen = {
        "inference": ["--include-path-regex", "infer$", "--exclude-checks", POSITIVE],
        "all but inference": ["--exclude-path-regex", "infer$"],
    }[part]
    command = [str(program), "run", f"{address}/openapi.json", "--checks", "all", *chosen]
    more = ["--max-examples", str(examples), "--seed", "1", "--generation-database", "none"]
    more += ["--request-timeout", "60", "--wait-for-schema", "60"]
    # FastAPI is imported with the first page: not within what schemathesis waits for.
    urllib.request.urlopen(f"{address}/openapi.json", timeout=60).close()
    with tempfile.TemporaryDirectory() as room:  # it leaves a cache where it runs
        return subprocess.run(
            [*command, *more, "--phases", "examples,coverage,fuzzing", "--no-color"],
            capture_output=True,
            text=True,
            cwd=room,
        )


POSITIVE = "positive_data_acceptance"
