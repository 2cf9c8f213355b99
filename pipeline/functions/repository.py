"""Every model manifest of a repository, judged one by one."""

from __future__ import annotations

from pipeline.errors import InvalidInput
from pipeline.functions.running import Session
from pipeline.functions.settings import Settings
from pipeline.release import Goal


async def judged(settings: Settings) -> list[str]:
    """The reports on those that are refused, sorted by path.

    Raises InvalidInput when there is none.
    """
    session = Session.open(settings)
    found = await session.manifests()
    refused: list[str] = []
    for path in found:
        try:
            ran = await session.judge(path, Goal.GOVERN)
        except InvalidInput as error:
            refused.append("\n".join(["invalid input:", *(f"  {p}" for p in error.problems)]))
            continue
        if not ran.passed:
            refused.append(ran.summary())
    return refused
