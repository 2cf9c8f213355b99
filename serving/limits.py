"""What the server gives one caller, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds that keep one caller from hurting the others.

    Sizes are in bytes, times in seconds, the queue in rows (one instance is one row).
    """

    max_body: int = 4 * 2**20
    # All bodies together that are on their way in.
    max_held: int = 256 * 2**20
    max_instances: int = 1000
    # Rows that one call of the model gets at most, unless a single request has more.
    max_batch: int = 64
    max_queue: int = 4096
    # A request that would wait longer than this is refused: its caller would have given up.
    max_wait: float = 2.0
    max_connections: int = 4096
    max_header: int = 32 * 2**10
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    # A caller that takes no more of its answer for so long loses its connection.
    write_seconds: float = 30.0
