"""`desired.json`: what a deployment should serve. It is written before traffic moves.

Whatever a killed process left behind is repaired towards what this file says.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import EnvironmentFailed
from pipeline.state import write_atomically

NAME = "desired.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Desired:
    """What should serve, and where.

    `folder` is the release's, relative to the deployment's folder, so that the state folder can be
    moved. `serving` is false after a stop; the port and the last facts are kept. `instance` is the
    process that was promoted; a restarted release runs in another.
    """

    serving: bool
    release: str
    folder: str
    version: str
    instance: str
    host: str
    port: int
    since: str
    record: dict[str, Any] = field(default_factory=dict)


def read(folder: Path) -> Desired | None:
    """What the deployment in `folder` should serve; None when nothing was ever promoted.

    Raises EnvironmentFailed when the file is not one that we wrote.
    """
    path = folder / NAME
    try:
        document = json.loads(path.read_bytes())
        if document.pop("format") != FORMAT:
            raise ValueError("another format")
        return Desired(**document)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise EnvironmentFailed(
            f"{path} cannot be read: {error}.",
            "Restore it, or stop the deployment's processes, remove the file and deploy again.",
        ) from error


def write(folder: Path, desired: Desired) -> None:
    """Replace the file. Raises OSError when it could not be; the old content then stands."""
    document = {"format": FORMAT, **dataclasses.asdict(desired)}
    write_atomically(folder / NAME, json.dumps(document, indent=2, sort_keys=True).encode())


def stopped(desired: Desired, record: dict[str, Any] | None) -> Desired:
    """The same deployment when nothing should serve any more; `record` says who decided so."""
    return dataclasses.replace(
        desired,
        serving=False,
        since=datetime.now(UTC).isoformat(),
        record=desired.record if record is None else record,
    )
