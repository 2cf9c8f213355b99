"""cosign: signs an image in its registry, and verifies the signatures it finds there.

With a key pair of one's own. No transparency log takes part: the public one keeps for ever, for
everyone to read, when and by which key something was signed, and is out of reach behind a firewall.
"""

from __future__ import annotations

import re

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from pipeline.image_reference import ImageReference
from pipeline.runtimes.interface import Input, Invocation, Outcome
from pipeline.tools.interface import NoResult, ToolImage, failure

NAME = "cosign"
PIN = ToolImage(
    "ghcr.io/sigstore/cosign/cosign:v3.1.3"
    "@sha256:9e5c2f2edc34351160407ca3416c61855bdf9403c3c5936e0f0be7fc261611b8",
    "/ko-app/cosign",
)
# The variables in which whoever runs `sign` must give the private key and its password: secrets,
# which an Invocation does not carry. An absent password would be asked for at a terminal.
PRIVATE_KEY = "COSIGN_PRIVATE_KEY"
PASSWORD = "COSIGN_PASSWORD"  # noqa: S105  a variable's name
PUBLIC_KEY = "cosign.pub"

# The exit code of `verify` for an image without a signature. For all else that fails it is 1.
NO_SIGNATURE = 10
_ERROR = re.compile(r"^Error: (.*)$", re.MULTILINE)


class _Image(BaseModel):
    digest: str = Field(alias="docker-manifest-digest")


class _Critical(BaseModel):
    image: _Image


class _Signature(BaseModel):
    critical: _Critical


_SIGNATURES = TypeAdapter(list[_Signature])


def sign(image: ImageReference) -> Invocation:
    """Sign the image of this digest; the signature is put beside it in its registry."""
    return Invocation(
        tool=NAME,
        command=NAME,
        arguments=(
            *("sign", "--key", f"env://{PRIVATE_KEY}", "--yes"),
            *("--tlog-upload=false", "--use-signing-config=false"),
            _address(image),
        ),
        network=True,
        timeout=120,
    )


def signed(outcome: Outcome) -> None:
    """Raises NoResult when `sign` did not sign."""
    if outcome.timed_out or outcome.exit_code:
        raise NoResult(_complaint(outcome))


def verify(image: ImageReference, public_key: Input) -> Invocation:
    """Verify with the public key that the image of this digest was signed."""
    return Invocation(
        tool=NAME,
        command=NAME,
        arguments=(
            *("verify", "--key", PUBLIC_KEY, "--output", "json"),
            *("--insecure-ignore-tlog=true", _address(image)),
        ),
        inputs={PUBLIC_KEY: public_key},
        network=True,
        timeout=120,
    )


def signatures(outcome: Outcome, image: ImageReference) -> int:
    """How many signatures of the image `verify` found good, at least one.

    Raises NoResult when there is none, or when one speaks of another image.
    """
    if outcome.timed_out or outcome.exit_code:
        raise NoResult(_complaint(outcome))
    try:
        found = _SIGNATURES.validate_json(outcome.stdout)
    except ValidationError as problem:
        first = problem.errors(include_url=False, include_input=False)[0]
        raise NoResult(f"its report cannot be read: {first['msg']}") from None
    if not found:
        raise NoResult("it names no signature")
    for signature in found:
        if signature.critical.image.digest != image.digest:
            raise NoResult(f"it verified {signature.critical.image.digest}, another image")
    return len(found)


def _address(image: ImageReference) -> str:
    # Without the tag: what is signed is the digest's image, wherever the tag points by then.
    return f"{image.repository}@{image.digest}"


def _complaint(outcome: Outcome) -> str:
    if outcome.timed_out:
        return "it was ended at its time limit"
    if outcome.exit_code == NO_SIGNATURE:
        return "there is no signature"
    said = _ERROR.search(outcome.stderr)
    return said.group(1)[:400] if said else failure(outcome)
