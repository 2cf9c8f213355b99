"""Opening MLflow: quietly, within bounded time, and with its failures in our words.

This module alone imports MLflow, and only when a call needs it: the import takes seconds.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.catalog.address import Address
from pipeline.errors import EnvironmentFailed

if TYPE_CHECKING:
    from mlflow import MlflowClient

# The caller's own settings win. Two tries of ten seconds keep a silent server from holding a
# command for the minutes that MLflow would wait; logs would otherwise carry MLflow's tracebacks.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
_PORTS = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mssql": 1433}
_WAIT = 10.0


@contextlib.contextmanager
def failures(address: Address) -> Iterator[None]:
    """Turn whatever MLflow and its drivers raise into EnvironmentFailed, without credentials."""
    try:
        yield
    except EnvironmentFailed:
        raise
    except ImportError as error:
        raise EnvironmentFailed(
            f"The catalog at {address} needs a package that is not installed: {error.name}.",
            "Install it beside mlifecycle.",
        ) from None
    except Exception as error:
        # One line of it: databases add whole statements, servers whole pages.
        cause = _root(error)
        words = (address.masked(str(cause)).strip().splitlines() or [""])[0][:300]
        raise EnvironmentFailed(
            f"The catalog at {address} failed: {words or type(cause).__name__}",
            _remedy(address),
        ) from None


def _root(error: BaseException) -> BaseException:
    """The failure of the network or disk at the bottom of a chain, which says it shortest."""
    root, link = error, error.__cause__ or error.__context__
    while link is not None:
        if isinstance(link, OSError):
            root = link
        link = link.__cause__ or link.__context__
    return root


def _remedy(address: Address) -> str:
    if address.database is not None:
        return f"Check that {address.database} is whole and writable, and try again."
    return "Check MLFLOW_TRACKING_URI, the network and your credentials, and try again."


def connect(address: Address) -> MlflowClient:
    """A client on the catalog, which is created first if it is a SQLite file not yet there.

    Whoever may create it must hold the catalog's lock.
    """
    if address.database is not None:
        if not exists(address.database):
            _create(address, address.database)
        else:
            _check(address.database)
    else:
        _knock(address)
    return _client(address)


def exists(database: Path) -> bool:
    """Whether there is a database to open. SQLite takes an empty file for one without tables."""
    return database.exists() and not (database.is_file() and database.stat().st_size == 0)


def _client(address: Address) -> MlflowClient:
    _prepare()
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=address.uri, registry_uri=address.uri)


def _prepare() -> None:
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module=r"mlflow\b")


def _create(address: Address, database: Path) -> None:
    """Make the tables in a file beside it and rename: a kill leaves no half-made database."""
    _prepare()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database.parent.mkdir(parents=True, exist_ok=True)
    fresh = database.with_name(f"{database.name}.new")
    for leftover in (fresh, Path(f"{fresh}-journal")):
        leftover.unlink(missing_ok=True)
    artifacts = (address.artifacts or database.parent / "mlartifacts").as_uri()
    store = SqlAlchemyStore(f"sqlite:///{fresh}", artifacts)  # type: ignore[no-untyped-call]  # MLflow leaves it untyped
    store.engine.dispose()
    fresh.replace(database)


def _check(database: Path) -> None:
    """Refuse a damaged file before MLflow opens it, which would retry for minutes."""
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:  # locked, unreadable: nothing is said of its content
        raise EnvironmentFailed(
            f"The catalog {database} cannot be opened: {error}.",
            "Check who else uses it and that this user may read and write it, and try again.",
        ) from None
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if answer != "ok":
        raise EnvironmentFailed(
            f"The catalog {database} is damaged: {answer}.",
            "Restore it from a backup, or move it away: the next deploy begins a new catalog, and "
            "the history stays in the old file.",
        )


def _knock(address: Address) -> None:
    """Fail at once for a database server that is not there: MLflow would retry for minutes."""
    parts = urlsplit(address.uri)
    default = _PORTS.get(parts.scheme.partition("+")[0])
    if default is None or parts.hostname is None:
        return
    with socket.create_connection((parts.hostname, parts.port or default), timeout=_WAIT):
        pass
