"""Answers of the catalog, kept while its SQLite file is unchanged.

Importing MLflow and opening its store takes seconds; a verdict needs one answer from it and
should take none. An answer holds for exactly one content of the database, so a write by whomever
makes it void. The file is as trustworthy as the database beside it, which no more than the same
user can write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import digest
from pipeline.errors import EnvironmentFailed
from pipeline.state import write_atomically

FORMAT = 1
NOTHING = object()


@dataclass(frozen=True, slots=True)
class Cache:
    """The cache at `path` for the SQLite file `database`; for other stores (None) it is empty."""

    path: Path
    database: Path | None

    def content(self) -> str | None:
        """The digest of the database with its write-ahead log; None when it cannot be cached."""
        if self.database is None:
            return None
        try:
            parts = {
                suffix: digest.of_file(part)
                for suffix in ("", "-wal", "-journal")
                if (part := Path(f"{self.database}{suffix}")).is_file() and part.stat().st_size
            }
        except FileNotFoundError:  # a log that a writer has just folded in
            return None
        except OSError as error:
            raise EnvironmentFailed(
                f"The catalog {self.database} cannot be read: {error.strerror}.",
                "Give this user access to it, or choose another folder with --state.",
            ) from None
        return digest.of_json(parts) if "" in parts else None

    def get(self, key: str) -> Any:
        """The answer kept under `key`, or NOTHING."""
        content = self.content()
        if content is None:
            return NOTHING
        return self._answers(content).get(key, NOTHING)

    def put(self, content: str | None, answers: dict[str, Any]) -> None:
        """Keep `answers`, which were read while the database's content was `content`.

        Failing to keep them costs time, never an answer: errors of the disk are let pass.
        """
        if content is None or content != self.content():
            return
        document = {
            "format": FORMAT,
            "database": content,
            "answers": self._answers(content) | answers,
        }
        try:
            write_atomically(self.path, json.dumps(document, allow_nan=False).encode())
        except OSError:
            return

    def _answers(self, content: str) -> dict[str, Any]:
        try:
            document = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            return {}
        answers = document.get("answers")
        if document.get("database") != content or not isinstance(answers, dict):
            return {}
        return answers
