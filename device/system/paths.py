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
