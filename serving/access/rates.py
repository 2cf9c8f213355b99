"""How often each caller may ask: a token bucket each, kept as one number.

The number is the time at which the bucket will be full again (the generic cell rate algorithm): a
request moves it by one interval, and is refused when that would take it further ahead than the
burst allows.
"""

from __future__ import annotations

from dataclasses import dataclass

# More callers than these have their full buckets forgotten.
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_second` requests on average, `burst` at once."""

    per_second: float
    burst: int

    @classmethod
    def of(cls, per_second: float, burst: int | None, share: int = 1) -> Rate:
        """The share that one of `share` processes gives; by default a second's worth at once."""
        at_once = per_second if burst is None else burst
        return cls(per_second / share, max(1, round(at_once / share)))


class Rates:
    """The buckets of all callers, in one process."""

    def __init__(self) -> None:
        self._full: dict[str, float] = {}

    def wait(self, caller: str, rate: Rate, now: float) -> float:
        """0 when the request may be made, which is then counted; else the seconds to wait.

        `now` is in seconds on a clock that never goes back.
        """
        full = self._full.get(caller, now)
        if full < now:
            full = now
        interval = 1 / rate.per_second
        early = full + interval - now - rate.burst * interval
        if early > 1e-9:
            return early
        self._full[caller] = full + interval
        if len(self._full) > _MOST:
            self._full = {name: full for name, full in self._full.items() if full > now}
        return 0.0
