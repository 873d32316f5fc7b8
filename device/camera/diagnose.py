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
from pocketsight.device.camera.options import DEFAULT_OPTIONS, CameraOptions
from pocketsight.device.camera.orientation import (
    QUARTER_TURNS,
    describe_rotation,
    detect_in_turns,
    find_needed_rotation,
)
from pocketsight.device.errors import CameraError
from pocketsight.device.inference.detector import Detection
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.image import Image, to_rgb
from pocketsight.device.vision.pixels import sample_pixels
from pocketsight.device.vision.resize import resize
from pocketsight.device.vision.turn import Turn

DARK_LEVEL, BRIGHT_LEVEL = 30, 225  # mean levels, of 255, beyond which details are lost
MIN_SHARPNESS = 30.0  # variance of the Laplacian; an image below it is blurred or empty
MIN_PANEL_WIDTH = 640  # pixels: minimum width of an image on the test sheet
MIN_CAPTION_UNIT = 0.8  # of the size of letters
UPRIGHT_CAPTION = "as pocketsight sees it", ""
SWAPPED_CAPTION = "red and blue swapped: if this one looks right,", "the camera's channels are swapped"


@dataclass(frozen=True)
class CameraReport:
    """Measurements of a camera. Brightness and sharpness are medians over the frames."""

    camera: str
    width: int
    height: int
    frames: int
    duration_s: float
    fps: float  # frames that arrived per second, dropped ones included
    # Median time from the exposure to the reader, or from the arrival without timestamps; None for files.
    latency_ms: float | None
    has_timestamps: bool
    dropped: int
    repeated_frames: int  # frames that are identical to the one before
    frozen: bool
    brightness: float  # mean level, 0..255
    sharpness: float  # variance of the Laplacian
    faces: int | None = None  # in the last frame; None without a detector
    needed_rotation: int = 0  # degrees by which the last frame must be turned for faces to be found
    rotation: int = 0  # degrees by which it is turned already

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
        if self.needed_rotation:
            rotation = (self.needed_rotation + self.rotation) % 360
            lines.append(f"{describe_rotation(self.needed_rotation)}: use --rotate {rotation}")
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
    source: str,
    size: tuple[int, int],
    duration: float,
    detector: Model | None,
    options: CameraOptions = DEFAULT_OPTIONS,
) -> tuple[CameraReport, Image]:
    """Read a source for `duration` seconds.

    Returns the report and the test sheet, RGB (H, W, 3). `size` is height and width. Raises CameraError when the
    source cannot be opened or gives no frame.
    """
    with open_camera(source, size, threading.Event(), options=options) as camera:
        first, last, rows = _measure_frames(camera, duration)
        faces = detect_in_turns(last.image, detector) if detector else None
        span = last.captured_monotonic - first.captured_monotonic
        repeated = sum(row.repeated for row in rows)
        report = CameraReport(
            camera=camera.name,
            width=last.image.shape[1],
            height=last.image.shape[0],
            frames=len(rows),
            duration_s=round(span, 2),
            fps=round((last.index - first.index) / span, 2) if span > 0 else 0.0,
            latency_ms=_rounded_median([row.latency_ms for row in rows]) if camera.live else None,
            has_timestamps=camera.has_timestamps,
            dropped=camera.dropped,
            repeated_frames=repeated,
            frozen=camera.live and len(rows) > 3 and repeated == len(rows) - 1,
            brightness=_rounded_median([row.brightness for row in rows]),
            sharpness=_rounded_median([row.sharpness for row in rows]),
            faces=None if faces is None else len(faces[0]),
            needed_rotation=find_needed_rotation(faces) if faces else 0,
            rotation=options.turn.degrees,
        )
        return report, draw_test_sheet(last.image, faces or {})


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


def draw_test_sheet(image: Image, faces: dict[int, list[Detection]]) -> Image:
    """The image, next to a copy with red and blue swapped; below them its four turns. All RGB, with captions.

    The boxes of `faces` are drawn, by the degrees of the turn in which they were found.
    """
    scale = max(1.0, MIN_PANEL_WIDTH / image.shape[1])
    width = round(image.shape[1] * scale)
    panels = [
        _draw_panel(image, faces.get(0, []), width, UPRIGHT_CAPTION),
        _draw_panel(to_rgb(image), [], width, SWAPPED_CAPTION),
    ]
    turns = [
        _draw_panel(Turn(degrees).apply(image), faces.get(degrees, []), width // 2, (_turn_caption(degrees, faces), ""))
        for degrees in QUARTER_TURNS
    ]
    height = max(panel.shape[0] for panel in turns)
    top, bottom = np.hstack(panels), np.hstack([_pad(panel, height, panel.shape[1]) for panel in turns])
    return np.vstack([top, _pad(bottom, height, top.shape[1])])


def _pad(panel: Image, height: int, width: int) -> Image:
    """The panel with white below it and to its right."""
    below, right = height - panel.shape[0], width - panel.shape[1]
    white = (255, 255, 255)
    return np.asarray(cv2.copyMakeBorder(panel, 0, below, 0, right, cv2.BORDER_CONSTANT, value=white), np.uint8)


def _turn_caption(degrees: int, faces: dict[int, list[Detection]]) -> str:
    count = f", {len(faces[degrees])} face(s)" if degrees in faces else ""
    return f"rotated by {degrees}{count}"


def _draw_panel(image: Image, faces: list[Detection], width: int, caption: tuple[str, str]) -> Image:
    """The image at a width, with boxes and a caption."""
    scale, unit = width / image.shape[1], width / MIN_PANEL_WIDTH
    panel = resize(image, (max(1, round(image.shape[0] * scale)), width)).copy()
    for face in faces:
        left, top, right, bottom = (round(side * scale) for side in face.box)
        cv2.rectangle(panel, (left, top), (right, bottom), (60, 220, 90), max(2, round(2 * unit)))
    return _add_caption(panel, caption, max(unit, MIN_CAPTION_UNIT))


def _add_caption(panel: Image, lines: tuple[str, ...], unit: float) -> Image:
    caption = np.full((round(64 * unit), panel.shape[1], 3), 255, np.uint8)
    for number, line in enumerate(lines):
        origin = round(12 * unit), round((26 + 26 * number) * unit)
        thickness = max(1, round(unit))
        cv2.putText(caption, line, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.7 * unit, (0, 0, 0), thickness, cv2.LINE_AA)
    return np.vstack([panel, caption])
