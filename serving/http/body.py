"""What a request says that its body is."""

from __future__ import annotations

from serving.http.exchange import Exchange
from serving.http.problems import Refused


def demand_json(exchange: Exchange, *others: bytes) -> None:
    """Raise Refused unless the body is said to be JSON in UTF-8, or one of `others`.

    A body without a media type is taken for what is wanted.
    """
    media_type = encoding = None
    for name, value in exchange.headers:
        if name == b"content-type":
            media_type = value
        elif name == b"content-encoding":
            encoding = value
    if media_type is not None and media_type != b"application/json":
        kind, *parameters = media_type.lower().split(b";")
        charset = [p.strip() for p in parameters if p.strip().startswith(b"charset=")]
        if kind.strip() not in (b"application/json", *others):
            raise Refused(415, "media_type", "The body's media type must be application/json.")
        if charset and charset[0].removeprefix(b"charset=").strip(b'"') not in (b"utf-8", b"utf8"):
            raise Refused(415, "media_type", "The body's charset must be utf-8.")
    if encoding is not None and encoding.lower() != b"identity":
        raise Refused(415, "media_type", "The body must not be compressed.")
