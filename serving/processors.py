"""How many processors this process may fill."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available(cgroup: Path = _CGROUP) -> int:
    """The processors that this process may run on, within its container's share; at least 1.

    Libraries count the host's, whatever the container's share of them is: with a share of one
    processor and threads for 32, they wait for each other most of the time.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(allowed or 1, _whole(_share(cgroup))))


def _share(cgroup: Path) -> float:
    """The container's limit in processors by the kernel's two interfaces; infinite without one."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text()
        period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _whole(share: float) -> int:
    return 2**31 if share == math.inf else math.floor(share)
