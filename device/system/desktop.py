"""Whether this session has a display."""

from __future__ import annotations

import os
import sys


def has_display() -> bool:
    """Whether a window can be opened, as far as the environment says."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
