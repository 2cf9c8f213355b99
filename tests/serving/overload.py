"""More requests than a server can answer, at a rate that does not wait for it."""

from __future__ import annotations

import asyncio
import json
import resource
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from live import Live, Model, application, live

from serving.limits import Limits

# A model that answers 200 rows a second at most: 4 at once, in 20 ms.
LIMITS = Limits(max_batch=4, max_queue=40, max_wait=5.0)
SECONDS = 0.02
CAPACITY = 200
REQUEST = json.dumps({"instances": [[0.5, 1, 1, 0.5, 1, 1, 1, 1, 1]]}).encode()
_HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(REQUEST)


@dataclass
class Seen:
    """What came of it: answers by status, 429s that do not say when, the longest queue in rows."""

    statuses: Counter[int] = field(default_factory=Counter)
    without_retry: int = 0
    longest_queue: int = 0
    grown: float = 0.0  # megabytes of the process at its largest


def overload(settings: Any, times: float, seconds: float) -> tuple[Seen, int]:
    """Ask `times` what the server can answer, for so long; then once more, when it is over."""
    model = Model()
    with live(application(settings, model, limits=LIMITS)) as running:
        model.seconds = SECONDS
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seen = asyncio.run(_press(running, times * CAPACITY, seconds))
        seen.grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        after = running.ask("/predict", json.loads(REQUEST))[0]
    return seen, after


async def _press(running: Live, rate: float, seconds: float) -> Seen:
    seen = Seen()
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def one() -> None:
        reader, writer = (
            idle.pop() if idle else await asyncio.open_connection("127.0.0.1", running.port)
        )
        writer.write(_HEAD + REQUEST)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        seen.statuses[status] += 1
        seen.without_retry += status == 429 and b"\r\nretry-after: " not in head
        seen.longest_queue = max(seen.longest_queue, running.application.batcher.waiting)
        idle.append((reader, writer))

    tasks = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    while (passed := loop.time() - began) < seconds:
        while len(tasks) < passed * rate:
            tasks.append(asyncio.ensure_future(one()))
        await asyncio.sleep(0.002)
    await asyncio.gather(*tasks)
    for _, writer in idle:
        writer.close()
    return seen
