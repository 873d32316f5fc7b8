"""A window that shows frames and reads keys."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from pocketsight.device.system.desktop import has_display
from pocketsight.device.vision.image import Image, to_rgb

logger = logging.getLogger(__name__)

# Keys that end the program: q and Escape.
QUIT_KEYS = frozenset({"q", "\x1b"})
WINDOW_TITLE = "pocketsight"

ShowImage = Callable[[Image], str]
"""Shows an RGB image (H, W, 3) and returns the key that was pressed, or ""."""


@contextmanager
def open_window() -> Iterator[ShowImage | None]:
    """Open a window and yield its function that shows an image. Closing the window counts as the key q.

    Yields None, after a warning in the log, if this machine has no display or this OpenCV has no windows.
    """
    if not has_display():
        logger.warning("no window: this session has no display (neither DISPLAY nor WAYLAND_DISPLAY is set)")
        yield None
        return
    try:
        cv2.namedWindow(WINDOW_TITLE, cv2.WINDOW_NORMAL)
    except cv2.error:
        logger.warning("no window: this OpenCV has none; on a Raspberry Pi: sudo apt install python3-opencv")
        yield None
        return

    was_visible = False  # some builds of OpenCV always report that the window is not visible

    def show(image: Image) -> str:
        nonlocal was_visible
        cv2.imshow(WINDOW_TITLE, to_rgb(np.ascontiguousarray(image)))
        key = cv2.waitKey(1)
        is_visible = cv2.getWindowProperty(WINDOW_TITLE, cv2.WND_PROP_VISIBLE) >= 1
        if was_visible and not is_visible:  # it was closed; imshow would open it again
            return "q"
        was_visible = is_visible
        return chr(key & 0xFF) if key >= 0 else ""  # higher bits hold Shift and Num Lock

    try:
        yield show
    finally:
        cv2.destroyAllWindows()
