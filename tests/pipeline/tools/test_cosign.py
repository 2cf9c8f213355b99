"""cosign: a signature counts only for the image that was asked about, by the key that was given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import image_reference
from pipeline.image_reference import ImageReference
from pipeline.runtimes.interface import Outcome
from pipeline.tools import cosign
from pipeline.tools.interface import NoResult

Recorded = Callable[[str, str], Outcome]
DIGEST = "sha256:ed90d4c2f4eada2ff1a369df02e51359689890a5c58fbdef311cc4adf517b699"
IMAGE = ImageReference("registry.test/models/fraud", "1", DIGEST)
OTHER = ImageReference("registry.test/models/fraud", "1", "sha256:" + "0" * 64)


def test_a_signature_that_was_made_is_found_good(outcome: Recorded) -> None:
    cosign.signed(outcome("cosign", "sign"))
    assert cosign.signatures(outcome("cosign", "verify"), IMAGE) == 1


def test_a_signature_of_another_image_is_none(outcome: Recorded) -> None:
    with pytest.raises(NoResult, match="another image"):
        cosign.signatures(outcome("cosign", "verify"), OTHER)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("verify-unsigned", "^there is no signature$"),
        ("verify-other-key", "^no matching attestations: failed to verify signature"),
        ("verify-no-registry", "connection refused"),
    ],
)
def test_what_was_not_verified_is_told_with_the_reason(
    outcome: Recorded, case: str, words: str
) -> None:
    with pytest.raises(NoResult, match=words):
        cosign.signatures(outcome("cosign", case), IMAGE)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("sign-no-key", r"env var \$COSIGN_PRIVATE_KEY not found$"),
        ("sign-wrong-password", "decryption failed$"),
    ],
)
def test_what_was_not_signed_is_told_with_the_reason(
    outcome: Recorded, case: str, words: str
) -> None:
    with pytest.raises(NoResult, match=words):
        cosign.signed(outcome("cosign", case))


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(0, "", ""),
        Outcome(0, "[]", ""),
        Outcome(0, "{}", ""),
        Outcome(0, '[{"critical": {"image": {}}}]', ""),
        Outcome(1, "", ""),
        Outcome(-9, "", "", timed_out=True),
    ],
)
def test_without_a_report_nothing_is_verified(outcome: Outcome) -> None:
    with pytest.raises(NoResult, match=r"\w"):
        cosign.signatures(outcome, IMAGE)


def test_no_call_carries_a_secret_or_names_an_image_by_its_tag() -> None:
    for call in (cosign.sign(IMAGE), cosign.verify(IMAGE, Path("cosign.pub"))):
        assert f"{IMAGE.repository}@{IMAGE.digest}" in call.arguments
        assert not call.environment
        parsed = image_reference.parse(call.arguments[-1])
        assert parsed is not None
        assert not parsed.tag
    assert "env://COSIGN_PRIVATE_KEY" in cosign.sign(IMAGE).arguments
