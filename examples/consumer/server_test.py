"""Asks a model's server whether it is ready and what it serves: server_test.py URL NAME."""

import json
import sys
import urllib.request
from typing import Any

url, name = sys.argv[1:]


def answer(path: str) -> dict[str, Any]:
    with urllib.request.urlopen(url + path, timeout=60) as response:  # noqa: S310  a server's address
        return dict(json.load(response))


# An answer that is no 2xx raises.
answer("/ready")
served = answer("/model/info")
if served["name"] != name:
    sys.exit(f"{served['name']} is served, and the image's label says {name}")
print(f"{served['name']} {served['version']} is ready")
