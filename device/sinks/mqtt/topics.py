"""TODO docstring."""

from __future__ import annotations

import re
from hashlib import sha256


def topic_id(prefix: str) -> str:
    """A name for a topic of letters, digits and _ only, as pocketsight_kitchen_3f2a91; another topic has another."""
    return f"{slugify(prefix)}_{sha256(prefix.encode()).hexdigest()[:6]}"


def slugify(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
