"""The gate: whether a request is let in, in the outermost layer, before its path means anything.

What is not named as public is refused, whether it exists or not: a forgotten route is as closed
as every other.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from time import time
from typing import Protocol

from serving.access.keys import PREFIX, Keyring
from serving.access.rates import Rate, Rates
from serving.access.refreshed import Refreshed
from serving.http.exchange import Exchange
from serving.http.problems import Refused
from serving.record import context
from serving.record.traces import Sampling

# What comes over the server's own socket, which only its owner can open.
OWNER = "owner"
_WANTED = frozenset({b"authorization", b"x-api-key", b"traceparent"})


class BadToken(Exception):
    """A token that is not accepted. The text is for its sender and tells no secret."""


class Tokens(Protocol):
    """Who judges tokens. What does it is imported only where tokens are taken."""

    @property
    def usable(self) -> bool:
        """There are keys to look at tokens with."""

    def owner(self, token: bytes, now: float) -> str:
        """The caller that `token` names, at `now` (seconds since 1970). Raises BadToken."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """How callers show who they are. `rate` is for those whose key says nothing else; a process
    that is one of `share` gives each caller its part."""

    keys: Refreshed[Keyring] | None = None
    tokens: Tokens | None = None
    rate: float | None = None
    burst: int | None = None
    share: int = 1


class Gate:
    """Access by credentials, or for everybody where there are none; and where traces begin.

    A method other than GET, or a path that is not written as in `public`, is not public.
    """

    def __init__(
        self,
        credentials: Credentials | None,
        public: Collection[str] = (),
        sampling: Sampling | None = None,
    ) -> None:
        self._credentials = credentials
        self._public = frozenset(public)
        self._sampling = sampling
        self._rates = Rates()
        # The rates that have been asked for, by what keys say: many keys, few rates.
        self._rate_of: dict[tuple[float, int | None], Rate] = {}

    def admit(self, exchange: Exchange) -> Refused | None:
        """None lets the request in, and its caller's name is in `exchange.caller`."""
        shown = traceparent = None
        twice = False
        for name, value in exchange.headers:
            if name in _WANTED:
                if name == b"traceparent":
                    traceparent = value
                elif shown is None:
                    shown = value if name == b"x-api-key" else _bearer(value)
                else:
                    twice = True
        if traceparent is not None or self._sampling is not None:
            self._trace(exchange, traceparent)
        credentials = self._credentials
        if credentials is None:
            return None
        if exchange.private:
            exchange.caller = OWNER
            return None
        if exchange.method == "GET" and exchange.path in self._public:
            return None
        if twice:
            return _refused("Send one credential: there are several.")
        if not shown:
            return _refused("Send a credential: Authorization: Bearer …")
        return self._judge(exchange, shown, credentials)

    def _judge(self, exchange: Exchange, shown: bytes, credentials: Credentials) -> Refused | None:
        rate, burst = credentials.rate, credentials.burst
        if credentials.keys is not None and (
            credentials.tokens is None or shown.startswith(PREFIX)
        ):
            keyring = credentials.keys.value
            if keyring is None:
                return _unavailable()
            key = keyring.owner(shown, time())
            if key is None:
                return _refused("The credential is not accepted.", "invalid_token")
            exchange.caller = key.name
            identity = key.id
            if key.rate is not None:
                rate, burst = key.rate, key.burst
            elif key.burst is not None:
                burst = key.burst
        elif credentials.tokens is not None:
            if not credentials.tokens.usable:
                return _unavailable()
            try:
                exchange.caller = credentials.tokens.owner(shown, time())
            except BadToken as error:
                return _refused(f"The token is not accepted: {error}.", "invalid_token")
            # No id of a key has this sign in it.
            identity = "@" + exchange.caller
        else:
            return _refused("The credential is not accepted.", "invalid_token")
        if rate is None:
            return None
        limit = self._rate_of.get((rate, burst))
        if limit is None:
            if len(self._rate_of) > 10_000:  # rates of files that are no more
                self._rate_of.clear()
            limit = self._rate_of[rate, burst] = Rate.of(rate, burst, credentials.share)
        wait = self._rates.wait(identity, limit, exchange.began)
        if wait:
            seconds = b"%d" % math.ceil(wait)
            message = f"You may make {rate:g} requests a second."
            return Refused(429, "rate_limited", message, headers={b"retry-after": seconds})
        return None

    def _trace(self, exchange: Exchange, traceparent: bytes | None) -> None:
        found = context.taken(traceparent) if traceparent is not None else None
        if self._sampling is not None:
            found = found or context.begun()
            self._sampling.decide(found)
        exchange.trace = found


def _bearer(value: bytes) -> bytes:
    """The credential in an Authorization header; empty when it is of another scheme."""
    scheme, _, credential = value.partition(b" ")
    return credential.strip() if scheme.lower() == b"bearer" else b""


def _refused(message: str, error: str = "") -> Refused:
    challenge = b'Bearer realm="mlifecycle"'
    if error:
        challenge += b', error="%b"' % error.encode()
    return Refused(401, "unauthenticated", message, headers={b"www-authenticate": challenge})


def _unavailable() -> Refused:
    message = "Nobody can be let in now: the server's log says why."
    return Refused(503, "credentials_unavailable", message, headers={b"retry-after": b"5"})
