"""Folders that belong to the user or the service: cache and state. All of them can be moved by an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path("/")  # of the file system; tests put a folder in its place


def cache_dir() -> Path:
    """The cache folder: CACHE_DIRECTORY of systemd, XDG_CACHE_HOME or ~/.cache, and `pocketsight` in it."""
    home = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME")
    return Path(home or os.path.expanduser("~/.cache")) / "pocketsight"
