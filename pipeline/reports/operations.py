"""How what the operations return is shown: as text for people, as JSON for scripts."""

from __future__ import annotations

from typing import Any

from pipeline.catalog.interface import Event
from pipeline.digest import short
from pipeline.operations import Status


def status_document(found: list[Status]) -> list[dict[str, Any]]:
    """One object a deployment; what is not known is null."""
    return [_status_document(status) for status in found]


def _status_document(status: Status) -> dict[str, Any]:
    served, deployment = status.served, status.deployment
    return {
        "namespace": deployment.namespace,
        "name": deployment.name,
        "environment": deployment.environment,
        "state": _state(status),
        "version": served.version if served else None,
        "release": served.release if served else None,
        "url": served.url if served else None,
        "pid": served.pid if served else None,
        "since": served.since.isoformat() if served else None,
        "run": served.record.get("run") if served else None,
        "trouble": status.trouble or (served.trouble if served else ""),
        "busy": status.busy,
        "interrupted_runs": list(status.interrupted),
    }


def _state(status: Status) -> str:
    if status.served is None:
        return "stopped"
    return "healthy" if status.served.healthy else "unhealthy"


def status_text(found: list[Status]) -> str:
    """A paragraph a deployment."""
    if not found:
        return "Nothing is deployed here. `mlifecycle deploy --manifest FILE` begins."
    return "\n".join(line for status in found for line in _status_lines(status))


def _status_lines(status: Status) -> list[str]:
    served = status.served
    head = f"{status.deployment}: {_state(status)}"
    lines = [head]
    if served is not None:
        since = served.since.astimezone().isoformat(sep=" ", timespec="seconds")
        lines = [
            f"{head}, {served.version} since {since}",
            f"  url      {served.url}",
            f"  release  {served.release}",
            f"  run      {served.record.get('run', 'unknown')}",
            f"  process  {served.pid}",
        ]
    trouble = status.trouble or (served.trouble if served else "")
    if trouble:
        lines.append(f"  trouble  {trouble}")
    if status.busy:
        lines.append(f"  busy     {status.busy}")
    if status.interrupted:
        lines.append(f"  interrupted runs  {', '.join(status.interrupted)}")
    return lines


def history_document(events: list[Event]) -> list[dict[str, Any]]:
    """One object an event, newest first."""
    return [event.model_dump(mode="json") for event in events]


def history_text(events: list[Event]) -> str:
    """A line an event, newest first."""
    rows = [("when", "event", "version", "release", "verdict", "run")]
    rows += [
        (
            event.at.astimezone().isoformat(sep=" ", timespec="seconds"),
            event.kind.value,
            event.version,
            short(event.release),
            short(event.verdict),
            event.run,
        )
        for event in events
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
