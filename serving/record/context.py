"""Where a request stands in a trace that others began (W3C Trace Context)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import getrandbits

# Version, trace, parent, flags. A later version may have more behind a dash.
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE = b"0" * 32
_NO_SPAN = b"0" * 16


@dataclass(slots=True)
class TraceContext:
    """A trace and this request's span in it; `parent` is the caller's span, if it named one.

    The ids are hexadecimal. `sampled` is whether the span is to be recorded.
    """

    trace: bytes
    span: bytes
    parent: bytes | None
    sampled: bool

    @property
    def header(self) -> bytes:
        """It as a `traceparent`."""
        return b"00-%b-%b-%b" % (self.trace, self.span, b"01" if self.sampled else b"00")


def taken(traceparent: bytes) -> TraceContext | None:
    """The context of a request that came with `traceparent`; None when that is none."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace, parent, flags, more = found.groups()
    if version == b"ff" or trace == _NO_TRACE or parent == _NO_SPAN or (version == b"00" and more):
        return None
    return TraceContext(trace, b"%016x" % getrandbits(64), parent, int(flags, 16) & 1 == 1)


def begun() -> TraceContext:
    """The context of a request that came without one."""
    return TraceContext(b"%032x" % getrandbits(128), b"%016x" % getrandbits(64), None, True)
