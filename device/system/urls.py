"""TODO docstring."""

from __future__ import annotations


def redact_url(url: str) -> str:
    """An address as messages show it: no user, no password, no query."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    _, at, rest = rest.rpartition("@")  # a password may hold "/" and "?"
    rest, query, _ = rest.partition("?")
    return f"{scheme}://{'***@' if at else ''}{rest}{'?***' if query else ''}"
