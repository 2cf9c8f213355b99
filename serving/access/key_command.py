"""`python -m serving keys`: make, list and remove API keys in a file."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from serving.access import keys
from serving.errors import InvalidKeys


def main(argv: Sequence[str]) -> int:
    """Do it. The exit code: 0 done, 1 the file cannot be used, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m serving keys", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    new = actions.add_parser("new", help="make a key, print it once, add its hash to the file")
    new.add_argument("name", help="whose it is, as the audit log tells it")
    new.add_argument("--rate", type=float, help="requests a second that it may make")
    new.add_argument("--burst", type=int, help="requests that it may make at once")
    new.add_argument("--expires", type=_time, help="when it ends: 2027-01-31T00:00:00Z")
    remove = actions.add_parser("remove", help="take a key out of the file")
    remove.add_argument("name", help="whose it is")
    listing = actions.add_parser("list", help="the keys in the file, without their hashes")
    for action in (new, remove, listing):
        action.add_argument("--file", type=Path, required=True, help="the file of the hashes")
    options = parser.parse_args(argv)
    do: dict[str, Callable[[argparse.Namespace], int]] = {
        "new": _new,
        "remove": _remove,
        "list": _list,
    }
    try:
        return do[options.action](options)
    except InvalidKeys as error:
        print(f"serving: {options.file}: {error}", file=sys.stderr)
    except OSError as error:
        print(f"serving: {options.file}: {error.strerror}", file=sys.stderr)
    return 1


def _new(options: argparse.Namespace) -> int:
    with _changed(options.file, absent=True) as document:
        if any(entry["name"] == options.name for entry in document["keys"]):
            raise InvalidKeys(f"it has a key of the name {options.name} already")
        text, entry = keys.make(options.name, options.rate, options.burst, options.expires)
        document["keys"].append(entry)
    print(text)
    return 0


def _remove(options: argparse.Namespace) -> int:
    with _changed(options.file) as document:
        left = [entry for entry in document["keys"] if entry["name"] != options.name]
        if len(left) == len(document["keys"]):
            raise InvalidKeys(f"it has no key of the name {options.name}")
        document["keys"] = left
    return 0


def _list(options: argparse.Namespace) -> int:
    data = options.file.read_bytes()
    keys.read(data)
    for entry in json.loads(data)["keys"]:
        limits = [f"{field} {entry[field]}" for field in ("rate", "burst", "expires") if
                  field in entry]  # fmt: skip
        print(" ".join([entry["name"], entry["id"], *limits]))
    return 0


@contextmanager
def _changed(path: Path, absent: bool = False) -> Iterator[dict[str, Any]]:
    """The file's document, to be changed: written whole and moved into place, one at a time."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        document: dict[str, Any] = {"format": keys.FORMAT, "keys": []}
        if path.exists() or not absent:
            data = path.read_bytes()
            keys.read(data)
            document = json.loads(data)
        yield document
        data = json.dumps(document, indent=1).encode() + b"\n"
        keys.read(data)
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        os.close(descriptor)


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError
    return found
