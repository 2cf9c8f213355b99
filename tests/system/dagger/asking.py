"""Asks the engine one question in GraphQL, as a program that depends on the module would.

    dagger run python asking.py < QUESTION.json

The question: `module`, its folder; `query`, in which `$name` stands for a folder, file or secret
of `folders`, `files` and `secrets`. The answer's data goes to standard output as JSON; an error
is said there in the same form, with exit code 1.
"""

from __future__ import annotations

import base64
import json
import os
import string
import sys
import urllib.request
from collections.abc import Mapping
from typing import Any

KINDS = {
    "folders": "{ host { directory(path: %s) { id } } }",
    "files": "{ host { file(path: %s) { id } } }",
    "secrets": "{ secret(uri: %s) { id } }",
}


def post(query: str) -> dict[str, Any]:
    """One request of the session that `dagger run` holds open."""
    port, token = os.environ["DAGGER_SESSION_PORT"], os.environ["DAGGER_SESSION_TOKEN"]
    credentials = base64.b64encode(f"{token}:".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/query",
        json.dumps({"query": query}).encode(),
        {"content-type": "application/json", "authorization": f"Basic {credentials}"},
    )
    with urllib.request.urlopen(request, timeout=1800) as reply:
        document: dict[str, Any] = json.load(reply)
    if document.get("errors"):
        print(json.dumps(document))
        sys.exit(1)
    data: dict[str, Any] = document["data"]
    return data


def named(question: Mapping[str, Any]) -> dict[str, str]:
    """The ids of what the query names, as GraphQL has them."""
    ids = {}
    for kind, query in KINDS.items():
        for name, place in question.get(kind, {}).items():
            found: Any = post(query % json.dumps(place))
            while not isinstance(found, str):
                (found,) = found.values()
            ids[name] = json.dumps(found)
    return ids


def main() -> None:
    """Ask what standard input holds."""
    question = json.load(sys.stdin)
    module = json.dumps(question["module"])
    post(f"{{ moduleSource(refString: {module}) {{ asModule {{ serve }} }} }}")
    query = string.Template(question["query"]).substitute(named(question))
    print(json.dumps(post(query)))


if __name__ == "__main__":
    main()
