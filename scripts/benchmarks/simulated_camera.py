"""A camera on a shaky table that films an image: noise, changing light, JPEG. For label_stability.py."""

from __future__ import annotations

import math

import cv2
import numpy as np

from pocketsight.device.camera import Frame
from pocketsight.device.inference.classifier import FACE_CROP_MARGIN
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image, to_rgb
from pocketsight.device.vision.resize import resize

SIZE = 240, 320  # height and width of a frame
SUBPIXELS = 4  # steps per pixel by which the camera moves
SHAKE_PX = 0.5  # standard deviation of the movement in pixels, at most one pixel
NOISE_STD = 5.0  # standard deviation of the noise in a medium gray, before JPEG
# Amplitude (share) and frequency (hertz) of the two light waves: a slow one, and the flicker of a lamp.
LIGHT_WAVES = (0.03, 1 / 7), (0.02, 1.1)
JPEG_QUALITY = 80


class SimulatedCamera:
    """Takes frames of a scene; noise, light and movement depend on the seed alone."""

    def __init__(self, seed: int, fps: float) -> None:
        self.rng, self.fps = np.random.default_rng(seed), fps
        self.noise = self.rng.normal(0, NOISE_STD, (SIZE[0] + 64, SIZE[1] + 64, 3)).astype(np.float32)
        self.phases = self.rng.uniform(0, 2 * math.pi, len(LIGHT_WAVES)).tolist()

    def capture(self, scene: Image, number: int) -> Frame:
        """Frame `number` of a scene. The scene is SUBPIXELS times as large as SIZE, with a margin of one pixel."""
        y, x = (
            int(np.clip(round(SUBPIXELS * (1 + move)), 0, 2 * SUBPIXELS)) for move in self.rng.normal(0, SHAKE_PX, 2)
        )
        light = resize(scene[y : y + SUBPIXELS * SIZE[0], x : x + SUBPIXELS * SIZE[1]], SIZE).astype(np.float32)
        waves = zip(LIGHT_WAVES, self.phases, strict=True)
        light *= 1 + sum(a * math.sin(2 * math.pi * hz * number / self.fps + phase) for (a, hz), phase in waves)
        top, left = self.rng.integers(0, 64, 2)
        light += self.noise[top : top + SIZE[0], left : left + SIZE[1]] * np.sqrt(light / 128 + 0.1)  # shot noise
        levels = to_rgb(np.clip(light + 0.5, 0, 255).astype(np.uint8))
        jpeg = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        image = to_rgb(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8))
        return Frame(image, number, number / self.fps, captured_monotonic=number / self.fps)


def make_scene(image: Image, side: float, detector: Model) -> Image:
    """An image with its face in the middle, `side` pixels long, on a blurred background; for SimulatedCamera.capture.

    An image without a detected face counts as a face crop.
    """
    rows, columns = (SUBPIXELS * (length + 2) for length in SIZE)
    height, width = image.shape[:2]
    faces = detect(image, detector)
    box = faces[0].box if faces else Box(0, 0, width, height)
    margin = 1 if faces else 1 + 2 * FACE_CROP_MARGIN
    scale = SUBPIXELS * side / box.longer_side * margin
    x, y = box.center
    left, top = max(0, int(x - columns / 2 / scale)), max(0, int(y - rows / 2 / scale))
    window = image[top : math.ceil(y + rows / 2 / scale), left : math.ceil(x + columns / 2 / scale)]
    pasted = resize(window, (max(1, round(window.shape[0] * scale)), max(1, round(window.shape[1] * scale))))
    left, top = round(columns / 2 - scale * (x - left)), round(rows / 2 - scale * (y - top))
    scene = resize(resize(image, (3, 4)), (rows, columns))
    inside = scene[max(top, 0) : top + pasted.shape[0], max(left, 0) : left + pasted.shape[1]]
    inside[:] = pasted[max(-top, 0) :, max(-left, 0) :][: inside.shape[0], : inside.shape[1]]
    return scene
