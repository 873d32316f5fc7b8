"""Cartoon faces, happy and sad, and datasets of them, for training and tests without a download."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.inference.classifier import FACE_CROP_MARGIN
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import Image, to_rgb

EXPRESSIONS = "happy", "sad"


@dataclass(frozen=True)
class Scene:
    """A drawn image, RGB (H, W, 3), with the box (pixels) and the expression ("happy" or "sad") of each face."""

    image: Image
    boxes: list[Box]
    expressions: list[str]


def draw_scene(rng: np.random.Generator, size: tuple[int, int], max_faces: int) -> Scene:
    """Draw an image of `size` (height, width) with at most `max_faces` faces, which do not overlap."""
    image = _draw_background(rng, size)
    boxes: list[Box] = []
    expressions: list[str] = []
    for _ in range(10 * max_faces):
        if len(boxes) == max_faces:
            break
        height = float(np.exp(rng.uniform(*np.log([size[0] / 7, size[0] / 1.8]))))
        width = height * rng.uniform(0.72, 0.88)
        left, top = rng.uniform(0, size[1] - width), rng.uniform(0, size[0] - height)
        box = Box(left, top, left + width, top + height)
        if any(box.overlaps(other) for other in boxes):
            continue
        expression = EXPRESSIONS[int(rng.integers(2))]
        _draw_face(image, box, expression, rng)
        boxes.append(box)
        expressions.append(expression)
    noise = rng.normal(0, rng.uniform(1, 6), image.shape).astype(np.float32)
    return Scene(np.clip(image + noise, 0, 255).astype(np.uint8), boxes, expressions)


def _draw_background(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """A soft background of random colors, with shapes on it that are not faces, some of them round."""
    coarse = rng.integers(0, 256, (int(rng.integers(1, 6)), int(rng.integers(1, 8)), 3)).astype(np.uint8)
    image = np.ascontiguousarray(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))
    for _ in range(int(rng.integers(2, 12))):
        color = _random_color(rng)
        x, y = int(rng.integers(size[1])), int(rng.integers(size[0]))
        w, h = (int(side) for side in rng.integers(4, size[0] // 3, 2))
        kind = int(rng.integers(4))
        if kind == 0:
            cv2.rectangle(image, (x, y), (x + w, y + h), color, -1)
        elif kind == 1:
            cv2.ellipse(image, (x, y), (w // 2, h // 2), float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA)
        elif kind == 2:
            cv2.line(image, (x, y), (x + 2 * w, y - 2 * h), color, int(rng.integers(1, 6)), cv2.LINE_AA)
        else:
            cv2.putText(image, "edge", (x, y), cv2.FONT_HERSHEY_SIMPLEX, w / 40, color, 2, cv2.LINE_AA)
    return np.asarray(image, dtype=np.uint8)


def _random_color(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _draw_face(image: Image, box: Box, expression: str, rng: np.random.Generator) -> None:
    """Draw a face into the box, which reaches from the forehead to the chin; the mouth shows the expression."""
    shift = 4  # fractional bits of OpenCV's coordinates, so that small faces are exactly inside their boxes
    skin = np.array([224, 172, 105]) * rng.uniform(0.35, 1.12) + rng.normal(0, 8, 3)
    light, dark = _scale_color(skin, 1.0), _scale_color(skin, rng.uniform(0.15, 0.45))

    def point(x: float, y: float) -> tuple[int, int]:
        return round((box.left + x * box.width) * 2**shift), round((box.top + y * box.height) * 2**shift)

    def axes(x: float, y: float) -> tuple[int, int]:
        return round(x * box.width * 2**shift), round(y * box.height * 2**shift)

    def oval(x: float, y: float, w: float, h: float, color: tuple[int, int, int]) -> None:
        cv2.ellipse(image, point(x, y), axes(w, h), 0, 0, 360, color, -1, cv2.LINE_AA, shift)

    line = max(1, round(box.width / 18))
    if rng.random() < 0.7:  # hair, above the box
        oval(0.5, 0.3, 0.55, 0.42, _scale_color(_random_color(rng), 0.6))
    oval(0.5, 0.5, 0.5, 0.5, light)
    gaze = rng.uniform(-0.03, 0.03)
    for side in (0.3, 0.7):
        oval(side, 0.4, 0.1, 0.06, (240, 240, 240))
        oval(side + gaze, 0.4, 0.045, 0.05, (25, 20, 20))
        tilt = rng.uniform(-0.02, 0.02)
        cv2.line(
            image, point(side - 0.11, 0.29 + tilt), point(side + 0.11, 0.29 - tilt), dark, line, cv2.LINE_AA, shift
        )
    cv2.line(image, point(0.5, 0.45), point(0.5 + gaze, 0.58), dark, line, cv2.LINE_AA, shift)
    bend = rng.uniform(0.07, 0.13)
    start, middle = (20, 0.72 - bend / 2) if expression == "happy" else (200, 0.72 + bend)
    lips = 150, 40, 50
    cv2.ellipse(image, point(0.5, middle), axes(0.24, bend), 0, start, start + 140, lips, line + 1, cv2.LINE_AA, shift)


def _scale_color(color: object, factor: float) -> tuple[int, int, int]:
    red, green, blue = np.clip(np.asarray(color, float) * factor, 0, 255).astype(int).tolist()
    return red, green, blue


def write_detection_dataset(folder: Path, count: int, seed: int, size: tuple[int, int] = (240, 320)) -> None:
    """Write `count` scenes for the detector: images/ and, in labels/, labelme files. Every tenth has no face."""
    rng = np.random.default_rng(seed)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        scene = draw_scene(rng, size, 0 if number % 10 == 9 else int(rng.integers(1, 4)))
        name = f"{number:04d}"
        cv2.imwrite(str(folder / "images" / f"{name}.jpg"), to_rgb(scene.image))
        if not scene.boxes:
            continue
        shapes = [
            {"label": "face", "shape_type": "rectangle", "points": [[box.left, box.top], [box.right, box.bottom]]}
            for box in scene.boxes
        ]
        note = {"imagePath": f"../images/{name}.jpg", "imageHeight": size[0], "imageWidth": size[1], "shapes": shapes}
        (folder / "labels" / f"{name}.json").write_text(json.dumps(note))


def write_classification_dataset(folder: Path, count: int, seed: int) -> None:
    """Write `count` faces for the classifier, in one folder for each expression, as FACE_CROP_MARGIN crops them."""
    rng = np.random.default_rng(seed)
    for expression in EXPRESSIONS:
        (folder / expression).mkdir(parents=True, exist_ok=True)
    number = 0
    while number < count:
        scene = draw_scene(rng, (240, 320), 3)
        for box, expression in zip(scene.boxes, scene.expressions, strict=True):
            face = crop_face(scene.image, box, FACE_CROP_MARGIN, (96, 96))
            cv2.imwrite(str(folder / expression / f"{number:04d}.png"), to_rgb(face))
            number += 1


def write_frame_folder(path: Path, count: int, seed: int, size: tuple[int, int] = (240, 320)) -> list[Scene]:
    """Write `count` scenes with one to three faces as PNG files, and return them."""
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True, exist_ok=True)
    scenes = [draw_scene(rng, size, int(rng.integers(1, 4))) for _ in range(count)]
    for number, scene in enumerate(scenes):
        cv2.imwrite(str(path / f"{number:04d}.png"), to_rgb(scene.image))
    return scenes
