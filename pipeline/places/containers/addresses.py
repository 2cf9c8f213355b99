"""Addresses of package indexes, which the engine keeps and shows."""

from __future__ import annotations

from urllib.parse import urlsplit

from pipeline.errors import InvalidInput, Problem

EXPECTED = "the address of an index, such as https://packages.acme.example/simple"


def check_address(name: str, address: str | None) -> None:
    """Refuse what is no address, or holds a password. Raises InvalidInput, without it."""
    if address is None:
        return
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if "@" in address:
        shown, remedy = "a user or a password in it", "Put those into a .netrc and give --netrc."
    elif not usable:
        shown, remedy = address[:100], "Correct it."
    else:
        return
    raise InvalidInput([Problem(name, "", shown, EXPECTED, remedy)])
