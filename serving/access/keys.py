"""API keys, of which the server knows salted hashes only.

A key is `mlk_<id>_<secret>`: the id names its entry, the secret has 256 random bits. So one hash
decides, however many keys there are. It is a fast one: bcrypt and its like slow down the guessing
of what people choose, and 256 random bits cannot be guessed; one such hash a request would take
all of the server's time instead.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from serving.errors import InvalidKeys

FORMAT = 1
PREFIX = b"mlk_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
# Nobody needs more, and a file that large is another one.
MOST_KEYS = 10_000
_ID = re.compile(r"[a-z0-9]{8}")
_ID_END = len(PREFIX) + 8
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of the file. `rate` is in requests a second, None for the server's own default.

    `expires` is in seconds since 1970, infinite for never.
    """

    id: str
    name: str
    salt: bytes
    digest: bytes
    rate: float | None = None
    burst: int | None = None
    expires: float = _NEVER


class Keyring:
    """The keys of one file."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)
        self._by_id = {key.id.encode(): key for key in keys}

    def __len__(self) -> int:
        return len(self.keys)

    def owner(self, presented: bytes, now: float) -> Key | None:
        """The key that was presented; None when it is none of these or has expired."""
        # An unknown id takes as long as a known one.
        key = self._by_id.get(presented[len(PREFIX) : _ID_END], _NOBODY)
        right = compare_digest(sha256(key.salt + presented).digest(), key.digest)
        return key if right and key.expires > now else None


# A hash that nothing presented has.
_NOBODY = Key("", "", secrets.token_bytes(16), secrets.token_bytes(32), expires=0)


def make(
    name: str,
    rate: float | None = None,
    burst: int | None = None,
    expires: datetime | None = None,
) -> tuple[str, dict[str, Any]]:
    """A new key, to be given to its owner once, and its entry for the file.

    Raises InvalidKeys.
    """
    key_id, salt = secrets.token_hex(4), secrets.token_bytes(16)
    text = f"{PREFIX.decode()}{key_id}_{secrets.token_urlsafe(32)}"
    entry = {
        "id": key_id,
        "name": name,
        "salt": salt.hex(),
        "sha256": sha256(salt + text.encode()).hexdigest(),
        "rate": rate,
        "burst": burst,
        "expires": expires.astimezone(UTC).isoformat() if expires is not None else None,
    }
    entry = {field: value for field, value in entry.items() if value is not None}
    _key(entry, "the key")
    return text, entry


def read(data: bytes) -> Keyring:
    """The keys of a file's content. Raises InvalidKeys.

    `{"format": 1, "keys": [{"id", "name", "salt", "sha256", "rate", "burst", "expires"}]}`, the
    last three of which may be absent. No keys at all lets nobody in.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidKeys(f"it is no JSON: {error}") from None
    entries = _fields(document, "the file", {"format", "keys"}, set())
    if type(entries["format"]) is not int or entries["format"] != FORMAT:
        raise InvalidKeys(f"format is {entries['format']!r}, and this server reads {FORMAT}")
    if not isinstance(entries["keys"], list) or len(entries["keys"]) > MOST_KEYS:
        raise InvalidKeys(f"keys is no list of at most {MOST_KEYS} keys")
    keys = [_key(entry, f"keys[{index}]") for index, entry in enumerate(entries["keys"])]
    for field in ("id", "name"):
        values = [getattr(key, field) for key in keys]
        if len(set(values)) != len(values):
            raise InvalidKeys(f"keys hold the same {field} twice")
    return Keyring(keys)


def _fields(value: Any, place: str, required: set[str], optional: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidKeys(f"{place} is no object")
    if missing := required - value.keys():
        raise InvalidKeys(f"{place} lacks {', '.join(sorted(missing))}")
    if unknown := value.keys() - required - optional:
        raise InvalidKeys(f"{place} holds the unknown {', '.join(sorted(map(str, unknown)))!a}")
    return value


def _key(value: Any, place: str) -> Key:
    entry = _fields(value, place, {"id", "name", "salt", "sha256"}, {"rate", "burst", "expires"})
    name, key_id = entry["name"], entry["id"]
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidKeys(f"{place}.name is not {NAME.pattern}")
    if not isinstance(key_id, str) or not _ID.fullmatch(key_id):
        raise InvalidKeys(f"{place}.id is not {_ID.pattern}")
    rate, burst, expires = entry.get("rate"), entry.get("burst"), entry.get("expires")
    if rate is not None and (
        isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 1e6
    ):
        raise InvalidKeys(f"{place}.rate is no number of requests a second above 0")
    if burst is not None and (type(burst) is not int or not 1 <= burst <= 10**6):
        raise InvalidKeys(f"{place}.burst is no whole number of requests from 1 on")
    return Key(
        id=key_id,
        name=name,
        salt=_bytes(entry["salt"], f"{place}.salt", 16),
        digest=_bytes(entry["sha256"], f"{place}.sha256", 32),
        rate=rate,
        burst=burst,
        expires=_NEVER if expires is None else _time(expires, f"{place}.expires"),
    )


def _bytes(value: Any, place: str, size: int) -> bytes:
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", value):
        raise InvalidKeys(f"{place} is no text of {2 * size} hex digits")
    return bytes.fromhex(value)


def _time(value: Any, place: str) -> float:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        found = None
    # A time without a zone is another one on every machine.
    if found is None or found.tzinfo is None:
        raise InvalidKeys(f"{place} is no time with its zone, such as 2027-01-31T00:00:00Z")
    return found.timestamp()
