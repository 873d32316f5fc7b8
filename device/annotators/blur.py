"""Make faces unrecognizable in every image that leaves the process.

A detector misses a face now and then, and finds it only after it came into view. So an image is pixelated wherever a
face was found in the second before it or since. Blurring an image a moment later therefore covers more.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable

import cv2
import numpy as np

from pocketsight.device.results import FrameResult
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image

# Squares of the mosaic along the longer side of a face.
MOSAIC_CELLS = 6

# Fraction of the longer side that is covered around the box: hair, ears and chin, and a box that lags behind.
BLUR_MARGIN = 0.3

# Seconds for which a face stays covered where it was.
LOOKBACK_SECONDS = 1.0

# Seconds of results that are kept; an image must be blurred within this time.
HISTORY_SECONDS = 30.0


def blur_faces(image: Image, result: FrameResult) -> Image:
    """A copy of an RGB frame (H, W, 3) in which the faces of its own result are pixelated.

    `FaceBlurrer` also covers the faces that the frames before and after it had.
    """
    return FaceBlurrer().blur(image, result)


class FaceBlurrer:
    """Remembers where faces were. Call `add_result` in the loop, where it is cheap, and `blur` in any thread."""

    def __init__(self) -> None:
        self.results: deque[FrameResult] = deque()
        self.lock = threading.Lock()

    def add_result(self, result: FrameResult) -> None:
        """Add the result of the newest frame."""
        with self.lock:
            self.results.append(result)
            while self.results[0].captured_monotonic < result.captured_monotonic - HISTORY_SECONDS:
                self.results.popleft()

    def blur(self, image: Image, result: FrameResult, scale: float = 1.0) -> Image:
        """A copy of an RGB image (H, W, 3) with pixelated faces: the frame of `result`, resized by `scale`."""
        canvas = image.copy()
        for box, side in _blur_regions(self._recent_results(result)):
            _pixelate(canvas, box.scale(scale), scale * side / MOSAIC_CELLS)
        return canvas

    def _recent_results(self, result: FrameResult) -> list[FrameResult]:
        if result.source is not None:  # an image file, unrelated to those before it
            return [result]
        since = result.captured_monotonic - LOOKBACK_SECONDS
        with self.lock:
            return [result, *(other for other in self.results if other.captured_monotonic >= since)]


def _blur_regions(results: Iterable[FrameResult]) -> Iterable[tuple[Box, float]]:
    """The boxes to cover, each with the longer side of its face. A tracked face has one box, along its whole path."""
    regions: dict[object, tuple[Box, float]] = {}
    for result in results:
        faces = [(face.track_id or (id(result), n), face.box) for n, face in enumerate(result.faces)]
        for key, box in [*faces, *((box, box) for box in result.ignored_boxes)]:
            side = box.longer_side
            region = box.expand(BLUR_MARGIN * side)
            path, longest = regions.get(key, (region, side))
            regions[key] = path.union(region), max(longest, side)
    return regions.values()


def _pixelate(image: Image, box: Box, cell: float) -> None:
    """Replace the pixels inside the box by squares of their mean color, `cell` pixels wide."""
    height, width = image.shape[:2]
    left, top = max(0, math.floor(box.left)), max(0, math.floor(box.top))
    right, bottom = min(width, math.ceil(box.right)), min(height, math.ceil(box.bottom))
    if left >= right or top >= bottom:
        return
    region = image[top:bottom, left:right]
    columns, rows = (max(1, round(length / max(cell, 1.0))) for length in (right - left, bottom - top))
    small = cv2.resize(region, (columns, rows), interpolation=cv2.INTER_AREA)
    region[:] = np.asarray(cv2.resize(small, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST))
