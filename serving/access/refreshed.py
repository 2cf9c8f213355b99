"""Something that lives outside of the server and is read again and again in the background.

What was read last stays in use for a while when it cannot be read any more, and no longer: a key
that was withdrawn by a damaged file must not live on in memory for ever.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from serving.errors import InvalidKeys, ServingError

_T = TypeVar("_T")
# Seconds between two tries while it fails, at most.
_RETRY = 5.0
LARGEST = 4 * 2**20  # bytes

_log = logging.getLogger("serving.access")


class Refreshed(Generic[_T]):
    """`value` is what `fetch` gave and `read` made of it; None while there is none to be trusted.

    `fetch` gives bytes or raises OSError; `read` raises a ServingError. It is fetched every
    `interval` seconds, and `grace` seconds after the first failure in a row `value` is None. `what`
    names it for people.
    """

    def __init__(
        self,
        what: str,
        fetch: Callable[[], bytes],
        read: Callable[[bytes], _T],
        interval: float,
        grace: float,
    ) -> None:
        self.value: _T | None = None
        self.trouble = ""
        self._what = what
        self._fetch = fetch
        self._read = read
        self._interval = interval
        self._grace = grace
        self._data: bytes | None = None
        self._failing_since: float | None = None
        self._asked = threading.Event()
        self._ended = threading.Event()
        self._fetched = -_RETRY

    def load(self) -> None:
        """Read it now. Raises InvalidKeys when it cannot be read."""
        self._look()
        if self.trouble:
            raise InvalidKeys(f"{self._what}: {self.trouble}")

    def start(self) -> None:
        """Read it again and again, from a thread of its own."""
        threading.Thread(target=self._run, name=f"refresh {self._what}", daemon=True).start()

    def stop(self) -> None:
        """Read it no more."""
        self._ended.set()
        self._asked.set()

    def ask(self) -> None:
        """Read it soon: something is missing in it. Harmless to call often."""
        self._asked.set()

    def reason(self) -> str:
        """Why there is no value, for people; empty when there is one."""
        return "" if self.value is not None else f"{self._what}: {self.trouble or 'not read yet'}"

    def _run(self) -> None:
        while not self._ended.is_set():
            wait = min(self._interval, _RETRY) if self.trouble else self._interval
            if self._failing_since is not None and self.value is not None:
                # not later than the end of the grace
                wait = min(wait, max(0.05, self._failing_since + self._grace - time.monotonic()))
            if self._asked.wait(wait):
                # Whoever asks cannot make it fetch more often than this.
                self._ended.wait(max(0.0, self._fetched + _RETRY - time.monotonic()))
                self._asked.clear()
            if not self._ended.is_set():
                self._look()

    def _look(self) -> None:
        self._fetched = time.monotonic()
        try:
            data = self._fetch()
            if data == self._data and self.value is not None:
                trouble = ""
            else:
                self.value, self._data, trouble = self._read(data), data, ""
                _log.info("%s was read", self._what)
        except OSError as error:
            trouble = f"cannot be read: {error.strerror or error}"
        except ServingError as error:
            trouble = str(error)
        except Exception as error:  # its bytes are somebody else's
            trouble = f"{type(error).__name__} while it was read"
        if not trouble:
            if self.trouble:
                _log.info("%s can be read again", self._what)
            self._failing_since = None
        else:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            if trouble != self.trouble:
                _log.error("%s: %s; what was read before ends in %g s at the latest", self._what,
                           trouble, self._grace)  # fmt: skip
            if self.value is not None and now - self._failing_since >= self._grace:
                self.value = self._data = None
                _log.error("%s: nobody is let in by it any more", self._what)
        self.trouble = trouble


def of_file(path: Path) -> Callable[[], bytes]:
    """Reads a file, which may be replaced at any time.

    It is read as a whole and compared: a mounted secret is a chain of links, and times and sizes
    may stay as they were.
    """

    def fetch() -> bytes:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise OSError(f"it has more than {LARGEST} bytes")
        return data

    return fetch
