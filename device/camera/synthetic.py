"""A synthetic camera: it draws two people who move, change their expression and leave.

`synthetic` gives the requested size at 30 frames per second, `synthetic:320x240@15` another size and rate; both behave
like a live camera. `synthetic:fast` gives frames as fast as they are read and drops none, for long tests. The content
of a frame depends on its number and the seed only.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import cv2
import numpy as np

from pocketsight.device.camera.base import Camera, Frame
from pocketsight.device.camera.capture_thread import CameraSource, CaptureDevice, RawFrame
from pocketsight.device.camera.live import LiveCamera
from pocketsight.device.errors import CameraError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.synthetic.portrait import APPEARANCES, FACE_BOX, draw_portrait
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.turn import Turn

FPS = 30.0
SOURCE_PATTERN = re.compile(r"synthetic(?::(?=.))?(?:(\d+)x(\d+))?(?:@?(fast)|@(\d+(?:\.\d+)?))?")
NOISE_LEVELS = 7  # amplitude of the sensor noise
CYCLE_SECONDS = 20.0  # the story repeats: one person turns sad, the other one leaves and returns
SAD_AFTER, AWAY_BETWEEN = 14.0, (8.0, 12.0)  # seconds of the cycle


class Person(NamedTuple):
    """A person in a frame."""

    left: int  # pixels: the corner of the portrait, which may extend beyond the frame
    top: int
    expression: str  # happy or sad
    box: Box  # face, in pixels


class SyntheticScene:
    """Draws frames of `size` (height, width), in pixels."""

    def __init__(self, size: tuple[int, int], seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.size = size
        self.portrait_size = max(16, round(min(0.56 * size[0], 0.44 * size[1])))
        self.phases: tuple[float, ...] = tuple(rng.uniform(0, 2 * math.pi, 4).tolist())
        coarse = rng.integers(96, 176, (4, 6, 3)).astype(np.uint8)
        self.background = np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
        self.noise = rng.integers(0, NOISE_LEVELS, (size[0] + 64, size[1] + 64, 3)).astype(np.uint8)
        self.noise_offsets = rng.integers(0, 64, (257, 2)).tolist()
        self.portraits = [
            {mood: draw_portrait(mood, look, self.portrait_size) for mood in ("happy", "sad")} for look in APPEARANCES
        ]

    def place_people(self, seconds: float) -> list[Person]:
        """The people in the frame at a time, in seconds; the first one is on the left."""
        phase = seconds % CYCLE_SECONDS
        people = [self._place_person(0, seconds, "sad" if phase >= SAD_AFTER else "happy", 0.0)]
        start, end = AWAY_BETWEEN
        absence = min(1.0, max(0.0, min(phase - start, end + 1 - phase)))  # a second to leave, a second to return
        if absence < 1:
            people.append(self._place_person(1, seconds, "sad", absence))
        return people

    def _place_person(self, index: int, seconds: float, expression: str, absence: float) -> Person:
        height, width = self.size
        range_x, range_y = width / 2 - self.portrait_size, height - self.portrait_size
        x = 0.5 + 0.5 * math.sin(0.9 * seconds + self.phases[2 * index])
        y = 0.5 + 0.35 * math.sin(0.7 * seconds + self.phases[2 * index + 1])
        left, top = round(index * width / 2 + x * range_x), round(y * range_y + absence * (height - y * range_y))
        box = Box(*(c + self.portrait_size * f for c, f in zip((left, top, left, top), FACE_BOX, strict=True)))
        return Person(left, top, expression, box)

    def draw(self, number: int, fps: float = FPS) -> Image:
        """Frame `number` of a camera with `fps`, RGB (H, W, 3), uint8."""
        image = self.background.copy()
        for index, person in enumerate(self.place_people(number / fps)):
            portrait, mask = self.portraits[index][person.expression]
            visible = min(self.portrait_size, self.size[0] - person.top)
            if visible > 0:
                area = image[person.top : person.top + visible, person.left : person.left + self.portrait_size]
                cv2.copyTo(portrait[:visible], mask[:visible], area)
        y, x = self.noise_offsets[number % len(self.noise_offsets)]
        cv2.add(image, self.noise[y : y + self.size[0], x : x + self.size[1]], image)
        return image


def open_synthetic(
    source: str,
    size: tuple[int, int],
    turn: Turn,
    stop: threading.Event,
    report_fault: FaultReporter,
    reconnect: bool,
) -> AbstractContextManager[Camera]:
    """Open the camera that `source` describes. Raises CameraError when it has another form or is out of range."""
    match = SOURCE_PATTERN.fullmatch(source)
    if not match:
        raise CameraError(f"no camera {source!r}; use synthetic, synthetic:640x480@15 or synthetic:fast")
    width, height, fast, rate = match.groups()
    if width:
        size = int(height), int(width)
    fps = float(rate or FPS)
    if not (32 <= min(size) and max(size) <= 4096 and 0.1 <= fps <= 1000):
        raise CameraError(f"no camera {source!r}; use 32 to 4096 pixels per side, and 0.1 to 1000 frames per second")
    if fast:
        camera = Camera(_render_frames(SyntheticScene(size), stop), source)
        camera.fps = FPS
        return nullcontext(camera)
    return LiveCamera(CameraSource(source, lambda: _open_realtime(size, fps), turn=turn), stop, report_fault, reconnect)


def _render_frames(scene: SyntheticScene, stop: threading.Event) -> Iterator[Frame]:
    number = 0
    while not stop.is_set():
        yield Frame(scene.draw(number), number, time.time())
        number += 1


@contextmanager
def _open_realtime(size: tuple[int, int], fps: float) -> Iterator[CaptureDevice]:
    scene, start, number = SyntheticScene(size), time.monotonic(), -1

    def read() -> RawFrame:
        nonlocal number
        number = max(number + 1, math.floor((time.monotonic() - start) * fps))  # skips frames if late
        captured = start + number / fps
        time.sleep(max(0.0, captured - time.monotonic()))
        return RawFrame(scene.draw(number, fps), captured)

    yield CaptureDevice(read, fps)
