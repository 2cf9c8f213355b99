"""How the status of deployments in a cluster is shown: as text for people, as JSON for scripts."""

from __future__ import annotations

from typing import Any

from pipeline.cluster.operations import ClusterStatus


def document(found: list[ClusterStatus]) -> list[dict[str, Any]]:
    """One object a deployment; what is not known is null."""
    return [_document(status) for status in found]


def _document(status: ClusterStatus) -> dict[str, Any]:
    event = status.event
    return {
        "context": status.context,
        "namespace": status.namespace,
        "name": status.name,
        "environment": event.environment if event else None,
        "state": status.state,
        "version": event.version if event else None,
        "release": event.release if event else None,
        "image": status.image or None,
        "pods": status.pods or None,
        "since": event.at.isoformat() if event else None,
        "run": event.run if event else None,
        "trouble": status.trouble,
        "unfinished": status.unfinished,
        "busy": status.busy,
    }


def text(found: list[ClusterStatus]) -> str:
    """A paragraph a deployment."""
    if not found:
        return "Nothing is deployed there. `mlifecycle deploy --target kubernetes` begins."
    return "\n".join(line for status in found for line in _lines(status))


def _lines(status: ClusterStatus) -> list[str]:
    event = status.event
    lines = [f"{status.namespace}/{status.name} ({status.context}): {status.state}"]
    if event is not None:
        since = event.at.astimezone().isoformat(sep=" ", timespec="seconds")
        lines[0] += f", {event.version} since {since} ({event.environment})"
        lines += [
            f"  image    {status.image}",
            f"  pods     {status.pods}",
            f"  release  {event.release}",
            f"  run      {event.run}",
        ]
    named = {"trouble": status.trouble, "change": status.unfinished, "busy": status.busy}
    return lines + [f"  {name.ljust(8)} {said}" for name, said in named.items() if said]
