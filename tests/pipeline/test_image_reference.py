"""References to images are taken by digest and no other way."""

from __future__ import annotations

import pytest

from pipeline.image_reference import ImageReference, parse

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "repository", "tag"),
    [
        (f"python@{DIGEST}", "python", ""),
        (f"python:3.11-slim@{DIGEST}", "python", "3.11-slim"),
        (f"127.0.0.1:5000/a@{DIGEST}", "127.0.0.1:5000/a", ""),
        (f"Registry.Internal:5000/team/a-b__c.d:1_0@{DIGEST}",
         "Registry.Internal:5000/team/a-b__c.d", "1_0"),
    ],
)  # fmt: skip
def test_a_reference_by_digest_is_taken_apart(text: str, repository: str, tag: str) -> None:
    assert parse(text) == ImageReference(repository, tag, DIGEST)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "python",
        "python:3.11",
        f"@{DIGEST}",
        f"python@{DIGEST[:-1]}",
        f"python@{DIGEST.upper()}",
        f"python@{DIGEST}\n",
        f" python@{DIGEST}",
        f"two words@{DIGEST}",
        f"Upper@{DIGEST}",
        f"python:@{DIGEST}",
        f"https://registry/python@{DIGEST}",
        f"a//b@{DIGEST}",
        f"{'a' * 10_000}:{'b' * 10_000}",
    ],
)
def test_anything_else_is_no_reference(text: str) -> None:
    assert parse(text) is None
