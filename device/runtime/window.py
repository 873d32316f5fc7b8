"""The person in front of the machine: a window and a line to look at, keys to press, signals that end the work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from pocketsight.device.system.display import has_display
from pocketsight.device.vision.image import Image, to_rgb

QUIT_KEYS = frozenset({"q", "\x1b"})  # keys that end the work; the second is Escape
WINDOW_TITLE = "pocketsight"

ShowImage = Callable[[Image], str]


@contextmanager
def open_window() -> Iterator[ShowImage | None]:
    """A window: shows an RGB image, gives the key pressed or ""; None, and a line that says why, where there is none.

    Closing the window counts as q.
    """
    if not has_display():
        print("no window: there is no display here (no DISPLAY or WAYLAND_DISPLAY)", file=sys.stderr)
        yield None
        return
    try:
        cv2.namedWindow(WINDOW_TITLE, cv2.WINDOW_NORMAL)
    except cv2.error:
        print("no window: this OpenCV was built without one; on a Pi install python3-opencv by apt", file=sys.stderr)
        yield None
        return

    was_visible = False  # not every OpenCV can tell whether a window is there

    def show(image: Image) -> str:
        nonlocal was_visible
        cv2.imshow(WINDOW_TITLE, to_rgb(np.ascontiguousarray(image)))
        key = cv2.waitKey(1)
        there = cv2.getWindowProperty(WINDOW_TITLE, cv2.WND_PROP_VISIBLE) >= 1
        if was_visible and not there:  # closed; imshow would open it again
            return "q"
        was_visible = there
        return chr(key & 0xFF) if key >= 0 else ""  # above the byte some windows report Shift and Num Lock

    try:
        yield show
    finally:
        cv2.destroyAllWindows()
