"""Vulnerability databases: how old one may be to speak for the day of the scan."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.tools.interface import NoResult

# What grype holds for too old by itself. Both databases are built anew every few hours.
AGE_LIMIT = timedelta(days=5)
# Between the clocks of who built it and who scans.
CLOCK_SKEW = timedelta(hours=1)


def judge(built: datetime, scanned: datetime) -> None:
    """Raise NoResult for a database too old to have heard of what is known by now.

    Both times are the report's own, so that the same report is always judged the same.
    """
    age = scanned - built
    if age > AGE_LIMIT:
        raise NoResult(
            f"its vulnerability database is too old: built {_day(built)}, {age.days} days before "
            f"the scan (at most {AGE_LIMIT.days})"
        )
    if age < -CLOCK_SKEW:
        raise NoResult(
            f"its vulnerability database says it was built {_day(built)}, after the scan"
        )


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()
