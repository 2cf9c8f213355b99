"""References to images. Ours always end in the image's digest: a tag may be moved."""

from __future__ import annotations

import re
from dataclasses import dataclass

EXPECTED = "an image by digest: NAME[:TAG]@sha256:<64 hexadecimal digits>"

# As https://github.com/distribution/reference has it.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<repository>(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"@(?P<digest>sha256:[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """`repository:tag@digest`, with the registry in the repository; the tag may be empty."""

    repository: str
    tag: str
    digest: str


_REPOSITORY = re.compile(rf"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*")


def is_repository(text: str) -> bool:
    """Whether the text names a repository: no scheme, no password, no tag, no digest."""
    return _REPOSITORY.fullmatch(text) is not None


def parse(text: str) -> ImageReference | None:
    """The parts of a reference; None for a text that is none, or has no digest."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        return None
    return ImageReference(found["repository"], found["tag"] or "", found["digest"])
