"""Where the catalog lies: a SQLite file in the state folder, or what MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.errors import EnvironmentFailed

VARIABLE = "MLFLOW_TRACKING_URI"
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_USER_INFO = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^/\s@]*(?:@[^/\s@]*)*@")


@dataclass(frozen=True, slots=True)
class Address:
    """`database` is the file behind a SQLite address, None for every other kind.

    `artifacts` is where MLflow would put files of our experiments: never into the current folder.
    For a server it is None: the server decides.
    """

    uri: str = field(repr=False)  # it may carry a password
    database: Path | None = None
    artifacts: Path | None = None

    def __str__(self) -> str:
        return self.masked(self.uri)

    def masked(self, text: str) -> str:
        """`text` without the credentials of this address or of MLflow's own variables."""
        hidden = [os.environ.get(name, "") for name in _SECRETS]
        if self.database is None:
            try:
                password = urlsplit(self.uri).password or ""
            except ValueError:  # an address that is none has no password that we could find
                password = ""
            hidden += [password, unquote(password)]
        text = _USER_INFO.sub(r"\1***@", text)
        for secret in sorted(filter(None, hidden), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def resolve(state: Path) -> Address:
    """The catalog of a state folder. Raises EnvironmentFailed for an address that cannot serve."""
    if uri := os.environ.get(VARIABLE, "").strip():
        database = _sqlite_file(uri)
        return Address(uri, database, database.parent / "mlartifacts" if database else None)
    if "?" in str(state):
        raise EnvironmentFailed(
            f"The state folder {state} cannot hold the catalog: its path contains '?'.",
            "Choose another folder with --state.",
        )
    database = state.absolute() / "catalog.db"
    return Address(f"sqlite:///{database}", database, state.absolute() / "catalog-artifacts")


def _sqlite_file(uri: str) -> Path | None:
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme.partition("+")[0] != "sqlite":
        return None
    path = rest.partition("?")[0].removeprefix("/")
    if path in ("", ":memory:"):
        raise EnvironmentFailed(
            f"{VARIABLE} names a database in memory, which ends with the command.",
            "Name a file (sqlite:////folder/catalog.db) or a server, or unset the variable.",
        )
    return Path(path).absolute()
