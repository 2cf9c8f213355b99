"""Ask the tests' cluster with its own program."""

from __future__ import annotations

import json
import subprocess
from typing import Any


def kubectl(*arguments: str, given: Any = None) -> str:
    """What it prints; `given` goes to it as JSON. A failure is the test's."""
    done = subprocess.run(
        ["kubectl", *arguments],
        input=None if given is None else json.dumps(given),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
