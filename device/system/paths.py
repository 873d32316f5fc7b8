"""Folders of the user or the service: cache and state. Environment variables can move them."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path("/")  # of the file system; tests put a folder in its place


def cache_dir() -> Path:
    """The cache folder: CACHE_DIRECTORY of systemd, XDG_CACHE_HOME or ~/.cache, and `pocketsight` in it."""
    home = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME")
    return Path(home or os.path.expanduser("~/.cache")) / "pocketsight"


def state_dir() -> Path:
    """The folder for data that must survive a restart.

    STATE_DIRECTORY, which systemd gives to a service, or `pocketsight` in XDG_STATE_HOME or ~/.local/state. It may not
    exist yet.
    """
    service_dir = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if service_dir:
        return Path(service_dir)
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(home) / "pocketsight"
