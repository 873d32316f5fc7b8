"""`pocketsight camera test`: measures what a camera gives, and draws a test sheet."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from pocketsight.device.camera.base import Camera, Frame
from pocketsight.device.camera.factory import open_camera
from pocketsight.device.camera.freeze_detector import sample_pixels
from pocketsight.device.errors import CameraError
from pocketsight.device.inference.detector import Detection, detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.image import Image, to_rgb
from pocketsight.device.vision.resize import resize

DARK_LEVEL, BRIGHT_LEVEL = 30, 225  # mean levels, of 255, beyond which details are lost
MIN_SHARPNESS = 30.0  # variance of the Laplacian; an image below it is blurred or empty
MIN_PANEL_WIDTH = 640  # pixels: minimum width of an image on the test sheet
CAPTIONS = (
    ("as pocketsight sees it", ""),
    ("red and blue swapped: if this one looks right,", "the camera's channels are swapped"),
)


@dataclass(frozen=True)
class CameraReport:
    """Measurements of a camera. Brightness and sharpness are medians over the frames."""

    camera: str
    width: int
    height: int
    frames: int
    duration_s: float
    fps: float  # frames that arrived per second, dropped ones included
    latency_ms: float  # median time from the exposure to the reader, or from the arrival without timestamps
    has_timestamps: bool
    dropped: int
    repeated_frames: int  # frames that are identical to the one before
    frozen: bool
    brightness: float  # mean level, 0..255
    sharpness: float  # variance of the Laplacian
    faces: int | None = None  # in the last frame; None without a detector

    def warnings(self) -> list[str]:
        """Problems, each with a hint."""
        lines = []
        if self.frozen:
            lines.append("every frame is the same: the camera hangs, or it is a still image; plug it in again")
        if self.brightness < DARK_LEVEL:
            lines.append("dark: is the lens covered, or is there too little light?")
        if self.brightness > BRIGHT_LEVEL:
            lines.append("bright: does it face a lamp?")
        if self.sharpness < MIN_SHARPNESS and not self.frozen:
            lines.append("blurred, or nothing to see: focus the lens, clean it")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return {**asdict(self), "warnings": self.warnings()}


class FrameMeasurement(NamedTuple):
    """Measurements of one frame."""

    latency_ms: float
    repeated: bool
    brightness: float
    sharpness: float


def diagnose_camera(
    source: str, size: tuple[int, int], duration: float, detector: Model | None
) -> tuple[CameraReport, Image]:
    """Read a source for `duration` seconds.

    Returns the report and the test sheet, RGB (H, W, 3). `size` is height and width. Raises CameraError when the
    source cannot be opened or gives no frame.
    """
    with open_camera(source, size, threading.Event()) as camera:
        first, last, rows = _measure_frames(camera, duration)
        faces = detect(last.image, detector) if detector else None
        span = last.captured_monotonic - first.captured_monotonic
        repeated = sum(row.repeated for row in rows)
        report = CameraReport(
            camera=camera.name,
            width=last.image.shape[1],
            height=last.image.shape[0],
            frames=len(rows),
            duration_s=round(span, 2),
            fps=round((last.index - first.index) / span, 2) if span > 0 else 0.0,
            latency_ms=_rounded_median([row.latency_ms for row in rows]),
            has_timestamps=camera.has_timestamps,
            dropped=camera.dropped,
            repeated_frames=repeated,
            frozen=camera.live and len(rows) > 3 and repeated == len(rows) - 1,
            brightness=_rounded_median([row.brightness for row in rows]),
            sharpness=_rounded_median([row.sharpness for row in rows]),
            faces=None if faces is None else len(faces),
        )
        return report, draw_test_sheet(last.image, faces or [])


def _measure_frames(camera: Camera, duration: float) -> tuple[Frame, Frame, list[FrameMeasurement]]:
    """The first and the last frame, and the measurements of each."""
    first: Frame | None = None
    rows: list[FrameMeasurement] = []
    previous_sample, end = b"", time.monotonic() + duration
    while time.monotonic() < end and not camera.ended:
        if (frame := camera.read(0.1)) is None:
            continue
        sample, gray = sample_pixels(frame.image), cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        latency_ms = 1000 * (time.monotonic() - frame.captured_monotonic)
        sharpness = float(np.var(cv2.Laplacian(gray, cv2.CV_64F)))
        rows.append(FrameMeasurement(latency_ms, sample == previous_sample, float(gray.mean()), sharpness))
        first, last, previous_sample = first or frame, frame, sample
    if first is None:
        raise CameraError(f"{camera.name} gave no frame in {duration:g} s")
    return first, last, rows


def _rounded_median(values: list[float]) -> float:
    return round(statistics.median(values), 1)


def draw_test_sheet(image: Image, faces: list[Detection]) -> Image:
    """The image with the boxes of `faces`, next to a copy with red and blue swapped, with captions. All RGB."""
    scale = max(1.0, MIN_PANEL_WIDTH / image.shape[1])
    image = resize(image, (round(image.shape[0] * scale), round(image.shape[1] * scale)))
    unit = image.shape[1] / MIN_PANEL_WIDTH
    first, second = image.copy(), to_rgb(image)
    for face in faces:
        left, top, right, bottom = (round(side * scale) for side in face.box)
        cv2.rectangle(first, (left, top), (right, bottom), (60, 220, 90), max(2, round(2 * unit)))
    panels = zip((first, second), CAPTIONS, strict=True)
    return np.hstack([_add_caption(panel, lines, unit) for panel, lines in panels])


def _add_caption(panel: Image, lines: tuple[str, ...], unit: float) -> Image:
    caption = np.full((round(64 * unit), panel.shape[1], 3), 255, np.uint8)
    for number, line in enumerate(lines):
        origin = round(12 * unit), round((26 + 26 * number) * unit)
        thickness = max(1, round(unit))
        cv2.putText(caption, line, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.7 * unit, (0, 0, 0), thickness, cv2.LINE_AA)
    return np.vstack([panel, caption])
