"""The scalar types of a manifest, each with the words that a message and the reference use.

`patternErrorMessage` in the JSON Schema carries those words: editors show it too. The patterns
keep every name safe as a folder name, a URL segment, a shell word and HTML, wherever it ends up.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints


def words(text: str) -> Any:
    """What the type wants, to be read after "expected"."""
    return Field(json_schema_extra={"patternErrorMessage": text})


DnsLabel = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63),
    words("a DNS label: lower-case letters, digits and hyphens, a letter first, at most 63"),
]

# No wildcard: an Ingress for all names of a domain takes those of others as well.
HostName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$",
        max_length=253,
    ),
    words("a host name such as fraud.models.example.com, in lower case, at most 253 characters"),
]

# Features and classes: what columns of data sets are called.
Name = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9_]([A-Za-z0-9_ .:/()%+-]*[A-Za-z0-9_)%])?$", max_length=64
    ),
    words("a name of at most 64 letters, digits, spaces and _ . : / ( ) % + -"),
]

Identifier = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=64),
    words("a word of letters, digits, _ . and -, a letter first, at most 64"),
]

# Semantic versions are the policy's matter; this is what can safely name a folder.
Version = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]*$", max_length=64),
    words("text such as 1.2.0: letters, digits and . + _ -, at most 64"),
]

ExperimentId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=128),
    words("an experiment's name: letters, digits and . _ / -, at most 128"),
]

Line = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x20\x7f<>&\x22'`$\\]([^\x00-\x1f\x7f<>&\x22'`$\\])*$"),
    StringConstraints(max_length=200),
    words("one line of at most 200 characters, without < > & \" ' ` $ \\"),
]

Prose = Annotated[
    str,
    StringConstraints(pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]+$", max_length=2000),
    words("text of at most 2000 characters, without tabs and control characters"),
]


def _without_password(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    if separator and ":" in rest.split("/")[0].rpartition("@")[0]:
        raise ValueError(f"{scheme}://… without a password; a manifest is no place for secrets")
    return uri


# Which schemes and which paths are allowed is the policy's matter.
Uri = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9._/][A-Za-z0-9._~:/@+=%-]*$", max_length=1024),
    AfterValidator(_without_password),
    words(
        "a relative path or scheme://… address of at most 1024 letters, digits, . _ ~ : / @ + = % -"
    ),
]

Digest = Annotated[
    str,
    StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$"),
    words("sha256: and 64 lower-case hexadecimal digits"),
]

Duration = Annotated[
    str,
    StringConstraints(pattern=r"^[1-9][0-9]{0,5}(ms|s|m|h|d)$"),
    words("a duration such as 250ms, 30s, 5m, 1h or 1d"),
]

CpuQuantity = Annotated[
    str,
    StringConstraints(
        pattern=r"^([1-9][0-9]{0,6}m|[1-9][0-9]{0,3}(\.[0-9]{1,3})?"
        r"|0\.([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9]))$"
    ),
    words('CPU cores as quoted text: "1", "0.5" or 250m'),
]

# Kubernetes also takes a suffix m here, thousandths of a byte: always a mistake for M or Mi.
MemoryQuantity = Annotated[
    str,
    StringConstraints(
        pattern=r"^([1-9][0-9]{0,14}|[1-9][0-9]{0,5}(\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti))$"
    ),
    words("a memory size such as 512Mi or 2Gi"),
]


def _with_port(address: str) -> str:
    port = address.partition("://")[2].partition("/")[0].partition(":")[2]
    if port and not 1 <= int(port) <= 65535:
        raise ValueError("an address with a port from 1 to 65535")
    return address


Endpoint = Annotated[
    str,
    StringConstraints(
        pattern=r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9/_.-]*)?$",
        max_length=300,
    ),
    AfterValidator(_with_port),
    words("an address such as http://collector.observability:4318"),
]

KeySetUrl = Annotated[
    str,
    StringConstraints(
        pattern=r"^https://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?"
        r"(/[A-Za-z0-9/_.~%-]*(\?[A-Za-z0-9/_.~%=&-]*)?)?$",
        max_length=300,
    ),
    AfterValidator(_with_port),
    words("an https address such as https://login.example.com/keys"),
]

LabelValue = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$", max_length=63),
    words("a Kubernetes label value: letters, digits, _ . and - inside, at most 63"),
]

LabelKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"
    ),
    words("a Kubernetes label key: letters, digits, _ . and -, optionally after a DNS name and /"),
]


def _requirement(text: str) -> str:
    # Imported here: it costs as much as the rest of a small manifest's check.
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        Requirement(text)
    except (InvalidRequirement, RecursionError) as error:
        # RecursionError: each bracket of a marker is a call of packaging's parser.
        reason = str(error).splitlines()[0]
        raise ValueError(f'a PEP 508 requirement such as "torch>=2.6" ({reason})') from None
    return text


Dependency = Annotated[
    str,
    StringConstraints(min_length=1, max_length=300, pattern=r"^[A-Za-z0-9][^\x00-\x1f\x7f]*$"),
    AfterValidator(_requirement),
    words('a PEP 508 requirement such as "torch>=2.6"'),
]

Share = Annotated[float, Field(ge=0, le=1)]
# Nobody keeps a promise of all requests, and half of them is none.
ObjectiveShare = Annotated[float, Field(ge=0.5, lt=1)]
Difference = Annotated[float, Field(ge=-1, le=1)]

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(duration: str) -> float:
    """The length in seconds of a Duration such as `250ms`. ValueError for any other text."""
    number = duration.rstrip("mshd")
    unit = duration[len(number) :]
    if not number.isdecimal() or unit not in _SECONDS:
        raise ValueError(f"{duration!r} is no duration")
    return int(number) * _SECONDS[unit]
