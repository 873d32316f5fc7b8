"""Folders of the user or the service. An environment variable can move each of them."""

from __future__ import annotations

import os
from pathlib import Path

# Root of the file system; tests replace it by a folder.
ROOT = Path("/")


def cache_dir() -> Path:
    """The folder `pocketsight` in CACHE_DIRECTORY (set by systemd), XDG_CACHE_HOME or ~/.cache."""
    home = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME")
    return Path(home or os.path.expanduser("~/.cache")) / "pocketsight"
