"""`pocketsight camera test`: what a camera gives, in numbers and on a sheet for the eye."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.camera.base import Camera, Frame
from pocketsight.device.camera.factory import open_camera
from pocketsight.device.camera.freeze import sample_pixels
from pocketsight.device.errors import CameraError
from pocketsight.device.inference.detector import Face, detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.device.vision.image import Image, to_rgb
from pocketsight.device.vision.resize import resize

DARK_LEVEL, BRIGHT_LEVEL = 30, 225  # mean levels, of 255, beyond which little can be seen
MIN_SHARPNESS = 30.0  # variance of the Laplacian; below it a picture is blurred, or has nothing in it
MIN_PANEL_WIDTH = 640  # pixels: the width of a picture on the sheet, at least
CAPTIONS = (
    ("as pocketsight sees it", ""),
    ("red and blue swapped: if this one looks right,", "the camera's channels are swapped"),
)


@dataclass(frozen=True)
class CameraReport:
    """What a camera gave."""

    camera: str
    width: int
    height: int
    frames: int
    duration_s: float
    fps: float  # that came, dropped ones included
    latency_ms: float  # milliseconds, median: since the exposure where `stamped`, else since the arrival
    has_timestamps: bool
    dropped: int
    repeated_frames: int  # frames that were the one before, to the byte
    frozen: bool
    brightness: float  # mean level, 0..255, median
    sharpness: float  # variance of the Laplacian, median
    faces: int | None = None  # in the last frame; None without a detector

    def warnings(self) -> list[str]:
        """What is not as it should be, and what to do."""
        lines = []
        if self.frozen:
            lines.append("every frame is the same: the camera hangs, or it is a still picture; plug it in again")
        if self.brightness < DARK_LEVEL:
            lines.append("dark: is the lens covered, or is there too little light?")
        if self.brightness > BRIGHT_LEVEL:
            lines.append("bright: does it look into a lamp?")
        if self.sharpness < MIN_SHARPNESS and not self.frozen:
            lines.append("blurred, or nothing to see: turn its lens, wipe it")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "warnings": self.warnings()}


def diagnose_camera(
    source: str, size: tuple[int, int], seconds: float, detector: Model | None
) -> tuple[CameraReport, Image]:
    """Look at a source for so many seconds; gives what was seen and the sheet (H, W, 3). Raises CameraError."""
    stop = threading.Event()
    with open_camera(source, size, stop) as camera:
        first, last, rows = _measure_frames(camera, seconds)
        faces = detect(last.image, detector) if detector else None
        height, width = last.image.shape[:2]
        span = last.captured_monotonic - first.captured_monotonic
        same = sum(row["same"] for row in rows)
        trial = CameraReport(
            camera.name,
            width,
            height,
            len(rows),
            round(span, 2),
            round((last.index - first.index) / span, 2) if span > 0 else 0.0,
            _median(rows, "age"),
            camera.has_timestamps,
            camera.dropped,
            int(same),
            camera.live and len(rows) > 3 and same == len(rows) - 1,
            _median(rows, "brightness"),
            _median(rows, "sharpness"),
            None if faces is None else len(faces),
        )
        return trial, draw_test_sheet(last.image, faces or [])


def _measure_frames(camera: Camera, seconds: float) -> tuple[Frame, Frame, list[dict[str, float]]]:
    """The first and the last frame, and what was measured of each."""
    first: Frame | None = None
    rows: list[dict[str, float]] = []
    before, end = b"", time.monotonic() + seconds
    while time.monotonic() < end and not camera.ended:
        if (frame := camera.read(0.1)) is None:
            continue
        sample, grey = sample_pixels(frame.image), cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        age = 1000 * (time.monotonic() - frame.captured_monotonic)
        sharpness = float(np.var(cv2.Laplacian(grey, cv2.CV_64F)))
        rows.append({"age": age, "same": sample == before, "brightness": float(grey.mean()), "sharpness": sharpness})
        first, last, before = first or frame, frame, sample
    if first is None:
        raise CameraError(f"{camera.name} gave no frame in {seconds:g} s")
    return first, last, rows


def _median(rows: list[dict[str, float]], key: str) -> float:
    return round(float(np.median([row[key] for row in rows])), 1)


def draw_test_sheet(image: Image, faces: list[Face]) -> Image:
    """The RGB picture with the faces' boxes beside itself with red and blue swapped, and words below."""
    scale = max(1.0, MIN_PANEL_WIDTH / image.shape[1])
    image = resize(image, (round(image.shape[0] * scale), round(image.shape[1] * scale)))
    unit = image.shape[1] / MIN_PANEL_WIDTH
    first, second = image.copy(), to_rgb(image)
    for face in faces:
        left, top, right, bottom = (round(side * scale) for side in face.box)
        cv2.rectangle(first, (left, top), (right, bottom), (60, 220, 90), max(2, round(2 * unit)))
    return np.hstack([_add_caption(panel, words, unit) for panel, words in zip((first, second), CAPTIONS, strict=True)])


def _add_caption(panel: Image, lines: tuple[str, ...], unit: float) -> Image:
    below = np.full((round(64 * unit), panel.shape[1], 3), 255, np.uint8)
    for number, line in enumerate(lines):
        place = round(12 * unit), round((26 + 26 * number) * unit)
        thick = max(1, round(unit))
        cv2.putText(below, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.7 * unit, (0, 0, 0), thick, cv2.LINE_AA)
    return np.vstack([panel, below])


def write_test_sheet(path: Path, image: Image) -> None:
    """Write the sheet as PNG, whatever the file is called. Raises DataError."""
    _, data = cv2.imencode(".png", to_rgb(image))
    atomic_write(path, data.tobytes())
