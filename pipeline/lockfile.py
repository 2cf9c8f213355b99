"""The hash lock of a release: how it is read, and whether it holds what was asked for.

A lock is a requirements file in pip's form with a header of our own, which lists what it was
resolved from. So a lock that no longer fits is recognised without asking an index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pipeline import digest

PYTHON = "3.11"  # the oldest Python that a lock is resolved for

_HASH = re.compile(r"^--hash=sha(256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})$")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a lock is resolved from: canonical requirements, sorted, and the oldest Python."""

    requirements: tuple[str, ...]
    python: str = PYTHON

    @property
    def digest(self) -> str:
        """Equal for equal inputs, however the requirements were ordered in their files."""
        return digest.of_json({"python": self.python, "requirements": list(self.requirements)})

    def header(self) -> str:
        """The comment that a lock made from these inputs begins with."""
        lines = [
            "# Made by `mlifecycle lock`: change the requirements and run it again.",
            f"# inputs: {self.digest}",
            f"# python: >={self.python}",
            *(f"# requires: {requirement}" for requirement in self.requirements),
        ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Entry:
    """One locked distribution. `line` is where it starts in the file, from 1."""

    requirement: Requirement
    hashes: tuple[str, ...]
    line: int

    @property
    def name(self) -> str:
        """The canonical name."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """The version that it is pinned to."""
        return next(iter(self.requirement.specifier)).version

    @property
    def active(self) -> bool:
        """Whether it is meant for this interpreter on this platform."""
        return applies(self.requirement)


@dataclass(frozen=True, slots=True)
class Defect:
    """Why a lock cannot be used: what is wrong, in which line (0 for the whole file)."""

    message: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock as read: its entries, what its header says it was made from, and its defects."""

    data: bytes
    entries: tuple[Entry, ...]
    inputs: Inputs | None
    defects: tuple[Defect, ...]

    @property
    def digest(self) -> str:
        """The digest of the file."""
        return digest.of_bytes(self.data)

    @property
    def active(self) -> dict[str, Entry]:
        """What gets installed here, by canonical name."""
        return self.active_for(None)

    def active_for(self, markers: Mapping[str, str] | None) -> dict[str, Entry]:
        """What gets installed where `markers` hold, by canonical name; None is this interpreter."""
        return {e.name: e for e in self.entries if applies(e.requirement, markers)}


def applies(
    requirement: Requirement, markers: Mapping[str, str] | None = None, extra: str = ""
) -> bool:
    """Whether the requirement's marker holds, with one extra asked for or none.

    `markers` is the marker environment of the Python meant, whole: what it leaves out is taken from
    this interpreter, as everything is when it is None.
    """
    if requirement.marker is None:
        return True
    return requirement.marker.evaluate({**(markers or {}), "extra": extra})


def parse(data: bytes) -> Lock:
    """Read a lock. Whatever is not a pinned and hashed distribution becomes a defect."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return Lock(data, (), None, (Defect(f"it is not UTF-8 ({error.reason})"),))
    entries: list[Entry] = []
    defects: list[Defect] = []
    for line, words in _statements(text):
        try:
            entries.append(_entry(line, words))
        except ValueError as error:
            defects.append(Defect(str(error), line))
    seen: set[str] = set()
    for entry in entries:
        if entry.active and entry.name in seen:
            defects.append(Defect(f"{entry.name} is locked twice for this platform", entry.line))
        if entry.active:
            seen.add(entry.name)
    inputs = _header(text)
    if inputs is None:
        defects.append(Defect("its header does not say what it was made from"))
    return Lock(data, tuple(entries), inputs, tuple(defects))


def uncovered(
    requirements: Iterable[str], lock: Lock, markers: Mapping[str, str] | None = None
) -> list[str]:
    """Each requirement that the lock does not satisfy, and why. `markers` as in `applies`."""
    found: list[str] = []
    for text in requirements:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        relevant = [entry for entry in lock.entries if entry.name == name]
        if applies(requirement, markers):
            relevant = [entry for entry in relevant if applies(entry.requirement, markers)]
        if not relevant:
            found.append(f"{text} is not locked")
        elif not any(satisfies(entry.version, requirement) for entry in relevant):
            found.append(f"{text} is locked at {relevant[0].version}")
    return found


def satisfies(version: str, requirement: Requirement) -> bool:
    """Whether the version is in the range asked for. Pre-releases count: they were locked."""
    return requirement.specifier.contains(version, prereleases=True)


def difference(wanted: Inputs, locked: Inputs) -> list[str]:
    """What changed since the lock was made, one line each."""
    changes = [
        f"{sign} {requirement}"
        for sign, left, right in (
            ("added:", wanted.requirements, locked.requirements),
            ("removed:", locked.requirements, wanted.requirements),
        )
        for requirement in left
        if requirement not in right
    ]
    if wanted.python != locked.python:
        changes.append(f"python: >={locked.python} became >={wanted.python}")
    return changes


def _statements(text: str) -> Iterator[tuple[int, Sequence[str]]]:
    """Logical lines as words after the requirement, comments dropped, with their number."""
    start, joined = 0, ""
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not joined:
            start = number
        joined = f"{joined} {bare.removesuffix(chr(92)).strip()}".strip()
        if not bare.endswith("\\") and joined:
            yield start, re.split(r"\s+(?=--)", joined)
            joined = ""


def _entry(line: int, words: Sequence[str]) -> Entry:
    text, options = words[0], words[1:]
    if text.startswith("-"):
        raise ValueError(f"the option {text.split()[0].split('=')[0]} is not allowed in a lock")
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise ValueError(f"{text!r} is not a pinned requirement") from None
    if requirement.url is not None:
        raise ValueError(f"{requirement.name} is a direct reference, not a locked version")
    pins = list(requirement.specifier)
    if len(pins) != 1 or pins[0].operator != "==" or not _is_version(pins[0].version):
        raise ValueError(f"{requirement.name} is not pinned with ==")
    for option in options:
        if not _HASH.match(option):
            raise ValueError(f"{requirement.name} carries {option.split('=')[0]!r}, not a hash")
    if not options:
        raise ValueError(f"{requirement.name} has no hash")
    return Entry(requirement, tuple(option.removeprefix("--hash=") for option in options), line)


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _header(text: str) -> Inputs | None:
    """The inputs in the header; None when it is missing or was edited by hand."""
    said: dict[str, list[str]] = {"inputs": [], "python": [], "requires": []}
    for line in text.splitlines():
        key, _, value = line.removeprefix("# ").partition(": ")
        if line.startswith("# ") and key in said:
            said[key].append(value)
    if len(said["inputs"]) != 1 or len(said["python"]) != 1:
        return None
    inputs = Inputs(tuple(said["requires"]), said["python"][0].removeprefix(">="))
    return inputs if inputs.digest == said["inputs"][0] else None
