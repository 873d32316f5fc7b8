"""Addresses in messages."""

from __future__ import annotations


def redact_url(url: str) -> str:
    """An address without its user, password and query, for messages."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    _, at, rest = rest.rpartition("@")  # a password may contain "/" and "?"
    rest, query, _ = rest.partition("?")
    return f"{scheme}://{'***@' if at else ''}{rest}{'?***' if query else ''}"
