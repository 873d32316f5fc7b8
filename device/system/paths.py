"""TODO docstring."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the doctor reads the board where numpy may be missing
    pass


def cache_dir() -> Path:
    """The user's cache folder for pocketsight; a service names its own by CACHE_DIRECTORY."""
    home = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME")
    return Path(home or os.path.expanduser("~/.cache")) / "pocketsight"


ROOT = Path("/")
