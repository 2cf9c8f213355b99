"""Signed tokens (JWT, RFC 7519) of one issuer, by the public keys that it publishes (RFC 7517).

The algorithms are pinned, and each public key serves only the algorithms of its own kind: a token
cannot say by which method it wants to be looked at. Keys that are shared secrets are never used.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import jwt

from serving.access.gate import BadToken
from serving.access.refreshed import LARGEST, Refreshed
from serving.errors import InvalidKeys

# Which algorithms a public key is good for, by its type and curve.
KINDS = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
ALGORITHMS = tuple(name for names in KINDS.values() for name in names)
LONGEST = 8192  # bytes of a token
# Tokens whose signature has been looked at: that takes longer than a small model.
_REMEMBERED = 8192
_LONGEST_CALLER = 200
_FETCH_SECONDS = 5.0

# The public keys, by their `kid` and algorithm.
PublicKeys = dict[tuple[str, str], jwt.PyJWK]


@dataclass(frozen=True, slots=True)
class Demands:
    """What a token must say. `leeway` is in seconds; `caller` is the claim with the name."""

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    leeway: float
    caller: str


class Tokens:
    """Looks at tokens; each one's signature once."""

    def __init__(self, demands: Demands, keys: Refreshed[PublicKeys]) -> None:
        self._demands = demands
        self._keys = keys
        self._known: dict[bytes, tuple[PublicKeys, float, str]] = {}

    @property
    def usable(self) -> bool:
        """There are keys to look at tokens with."""
        return self._keys.value is not None

    def owner(self, token: bytes, now: float) -> str:
        """The caller that `token` names. `now` is in seconds since 1970. Raises BadToken."""
        keys = self._keys.value
        if keys is None:
            raise BadToken("there are no keys to look at it with")
        digest = sha256(token).digest()
        known = self._known.get(digest)
        if known is not None:
            if known[0] is keys and now < known[1]:
                return known[2]
            del self._known[digest]
        expires, caller = self._examined(token, keys)
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[digest] = keys, expires, caller
        return caller

    def _examined(self, token: bytes, keys: PublicKeys) -> tuple[float, str]:
        demands = self._demands
        if len(token) > LONGEST:
            raise BadToken(f"it has more than {LONGEST} bytes")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise BadToken("it is none") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in demands.algorithms:
            raise BadToken("its algorithm is not one of those expected")
        if "crit" in header or not isinstance(kid, str):
            raise BadToken("its header names no key, or asks for what is not known here")
        key = keys.get((kid, algorithm))
        if key is None:
            # The issuer may have a new key. This request is not kept waiting for it.
            self._keys.ask()
            raise BadToken("it is signed with a key that is not known here")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=demands.issuer,
                audience=demands.audience,
                leeway=demands.leeway,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise BadToken("it has expired") from None
        except jwt.ImmatureSignatureError:
            raise BadToken("it is not valid yet") from None
        except (jwt.InvalidIssuerError, jwt.InvalidAudienceError):
            raise BadToken("it is from another issuer, or for another audience") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
            raise BadToken("it is not valid") from None
        caller = claims.get(demands.caller)
        # Into log lines and metrics' neighbourhood: plain characters only.
        if (
            not isinstance(caller, str)
            or not 0 < len(caller) <= _LONGEST_CALLER
            or not all("!" <= character <= "~" for character in caller)
        ):
            raise BadToken(f"its claim {demands.caller} names no caller")
        return float(claims["exp"]) + demands.leeway, caller


def reader(algorithms: Sequence[str]) -> Callable[[bytes], PublicKeys]:
    """How the public keys for `algorithms` are read from a JSON Web Key Set."""

    def read(data: bytes) -> PublicKeys:
        try:
            entries = json.loads(data)["keys"]
            found: PublicKeys = {}
            for entry in entries:
                found |= _usable(entry, algorithms)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise InvalidKeys("it is no JSON Web Key Set") from None
        if not found:
            raise InvalidKeys(f"no key in it has a kid and is for {' or '.join(algorithms)}")
        return found

    return read


def _usable(entry: dict[str, Any], algorithms: Sequence[str]) -> PublicKeys:
    """The keys of one entry; none where it is for something else."""
    kid, kind = entry.get("kid"), entry.get("kty")
    curve = None if kind == "RSA" else entry.get("crv")
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(kid, str) or entry.get("use", "sig") != "sig" or "verify" not in operations:
        return {}
    found: PublicKeys = {}
    for algorithm in KINDS.get((str(kind), curve), ()):
        if algorithm not in algorithms or entry.get("alg", algorithm) != algorithm:
            continue
        public = {field: value for field, value in entry.items() if field not in _PRIVATE}
        try:
            key = jwt.PyJWK(public, algorithm)
            if key.Algorithm.check_key_length(key.key):
                continue
        except (jwt.PyJWTError, ValueError):
            continue
        found[kid, algorithm] = key
    return found


# The parts of a key that its owner should have kept.
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows nowhere: the keys come from where the operator said."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


def of_url(url: str) -> Callable[[], bytes]:
    """Fetches an https URL, or an http one of this machine; redirects are not followed."""
    opener = urllib.request.build_opener(_Straight)

    def fetch() -> bytes:
        deadline = time.monotonic() + _FETCH_SECONDS
        data = b""
        try:
            with opener.open(url, timeout=_FETCH_SECONDS) as answer:
                while part := answer.read1(65536):
                    data += part
                    if len(data) > LARGEST or time.monotonic() > deadline:
                        raise OSError("it is too large or too slow")
        except HTTPException as error:
            raise OSError(f"no HTTP: {type(error).__name__}") from None
        return data

    return fetch


def fetchable(url: str) -> bool:
    """True for what `of_url` may fetch: nobody on the way may change the keys."""
    try:
        parts = urlsplit(url)
        named = parts.port != 0
    except ValueError:  # also for a port that is none
        return False
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return (
        named
        and bool(parts.hostname)
        and parts.username is None
        and (parts.scheme == "https" or (parts.scheme == "http" and local))
    )
