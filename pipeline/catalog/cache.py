"""Answers of the catalog, kept while its SQLite file is unchanged.

Importing MLflow and opening its store takes seconds; a verdict needs one answer from it and
should take none. An answer holds for exactly one content of the database, so a write by whomever
makes it void. The file is as trustworthy as the database beside it, which no more than the same
user can write.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline import digest
from pipeline.errors import EnvironmentFailed
from pipeline.state import write_atomically

T = TypeVar("T")

FORMAT = 1


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

    def get(self, key: str, form: TypeAdapter[T]) -> T | None:
        """The answer kept under `key` in its `form`, or None."""
        content = self.content()
        answer = self._answers(content).get(key) if content else None
        if answer is None:
            return None
        try:
            return form.validate_python(answer)
        except ValidationError:  # kept by another release of mlifecycle
            return None

    def put(self, key: str, form: TypeAdapter[T], answer: T, content: str | None) -> None:
        """Keep an answer that was read while the database's content was `content`.

        Failing to keep it costs time, never an answer: errors of the disk are let pass.
        """
        if content is None or content != self.content():
            return
        answers = self._answers(content) | {key: form.dump_python(answer, mode="json")}
        document = {"format": FORMAT, "database": content, "answers": answers}
        with contextlib.suppress(OSError):
            write_atomically(self.path, json.dumps(document, allow_nan=False).encode())

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
