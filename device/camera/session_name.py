"""Names of recording sessions in file names: 20261122T005014Z-a3f2_0007.jpg belongs to 20261122T005014Z-a3f2.

Images of one session show the same people and places, so that a data set must not be split between them.
"""

from __future__ import annotations

import re

# Also matches the names of crops and copies.
SESSION_FILE_NAME = re.compile(r"(?:.*/)?(\d{8}T\d{6}Z-[0-9a-f]{4})_\d{4,}(?:[_-]\w+)?(?:\.\w+)?")


def parse_session_name(file_name: str) -> str | None:
    """The session that an image belongs to, by its file name; None for names of another form."""
    match = SESSION_FILE_NAME.fullmatch(file_name)
    return match[1] if match else None
