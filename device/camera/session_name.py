"""TODO docstring."""

from __future__ import annotations

import re

SESSION_FILE_NAME = re.compile(
    r"(?:.*/)?(\d{8}T\d{6}Z-[0-9a-f]{4})_\d{4,}(?:[_-]\w+)?(?:\.\w+)?"
)  # also of a crop or a copy


def parse_session_name(file_name: str) -> str | None:
    """The session that a picture belongs to, by its file name; None where it is not one of ours."""
    found = SESSION_FILE_NAME.fullmatch(file_name)
    return found[1] if found else None
