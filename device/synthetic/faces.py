"""Drawn happy and sad faces, for trying everything without a camera, a person or a download."""

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
    """A drawn picture: which faces it holds, and where."""

    image: Image  # (H, W, 3) RGB
    boxes: list[Box]  # pixels
    expressions: list[str]  # one of MOODS for each box


def draw_scene(rng: np.random.Generator, size: tuple[int, int], max_faces: int) -> Scene:
    """A picture of `size` (height, width) with `faces` faces that do not overlap; fewer where there is no room."""
    image = _draw_background(rng, size)
    boxes: list[Box] = []
    moods: list[str] = []
    for _ in range(10 * max_faces):
        if len(boxes) == max_faces:
            break
        high = float(np.exp(rng.uniform(*np.log([size[0] / 7, size[0] / 1.8]))))
        wide = high * rng.uniform(0.72, 0.88)
        left, top = rng.uniform(0, size[1] - wide), rng.uniform(0, size[0] - high)
        box = Box(left, top, left + wide, top + high)
        if any(_boxes_overlap(box, other) for other in boxes):
            continue
        mood = EXPRESSIONS[int(rng.integers(2))]
        _draw_face(image, box, mood, rng)
        boxes.append(box)
        moods.append(mood)
    grain = rng.normal(0, rng.uniform(1, 6), image.shape).astype(np.float32)
    return Scene(np.clip(image + grain, 0, 255).astype(np.uint8), boxes, moods)


def _boxes_overlap(a: Box, b: Box) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def _draw_background(rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """Patches of colour blown up to a soft ground, with shapes on it that are no faces, round ones among them."""
    coarse = rng.integers(0, 256, (int(rng.integers(1, 6)), int(rng.integers(1, 8)), 3)).astype(np.uint8)
    image = np.ascontiguousarray(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))
    for _ in range(int(rng.integers(2, 12))):
        colour = _random_color(rng)
        x, y = int(rng.integers(size[1])), int(rng.integers(size[0]))
        w, h = (int(side) for side in rng.integers(4, size[0] // 3, 2))
        kind = int(rng.integers(4))
        if kind == 0:
            cv2.rectangle(image, (x, y), (x + w, y + h), colour, -1)
        elif kind == 1:
            cv2.ellipse(image, (x, y), (w // 2, h // 2), float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 2:
            cv2.line(image, (x, y), (x + 2 * w, y - 2 * h), colour, int(rng.integers(1, 6)), cv2.LINE_AA)
        else:
            cv2.putText(image, "edge", (x, y), cv2.FONT_HERSHEY_SIMPLEX, w / 40, colour, 2, cv2.LINE_AA)
    return np.asarray(image, dtype=np.uint8)


def _random_color(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _draw_face(image: Image, box: Box, expression: str, rng: np.random.Generator) -> None:
    """Skin, hair, eyes, brows, nose and the mouth that tells the mood, within the box from forehead to chin."""
    wide, high = box.right - box.left, box.bottom - box.top
    shift = 4  # OpenCV's fractional bits, so that small faces are drawn where their boxes are
    skin = np.array([224, 172, 105]) * rng.uniform(0.35, 1.12) + rng.normal(0, 8, 3)
    light, dark = _scale_color(skin, 1.0), _scale_color(skin, rng.uniform(0.15, 0.45))

    def point(x: float, y: float) -> tuple[int, int]:
        return round((box.left + x * wide) * 2**shift), round((box.top + y * high) * 2**shift)

    def axes(x: float, y: float) -> tuple[int, int]:
        return round(x * wide * 2**shift), round(y * high * 2**shift)

    def oval(x: float, y: float, w: float, h: float, colour: tuple[int, int, int]) -> None:
        cv2.ellipse(image, point(x, y), axes(w, h), 0, 0, 360, colour, -1, cv2.LINE_AA, shift)

    line = max(1, round(wide / 18))
    if rng.random() < 0.7:  # hair, above the box
        oval(0.5, 0.3, 0.55, 0.42, _scale_color(_random_color(rng), 0.6))
    oval(0.5, 0.5, 0.5, 0.5, light)
    look = rng.uniform(-0.03, 0.03)
    for side in (0.3, 0.7):
        oval(side, 0.4, 0.1, 0.06, (240, 240, 240))
        oval(side + look, 0.4, 0.045, 0.05, (25, 20, 20))
        tilt = rng.uniform(-0.02, 0.02)
        cv2.line(
            image, point(side - 0.11, 0.29 + tilt), point(side + 0.11, 0.29 - tilt), dark, line, cv2.LINE_AA, shift
        )
    cv2.line(image, point(0.5, 0.45), point(0.5 + look, 0.58), dark, line, cv2.LINE_AA, shift)
    bend = rng.uniform(0.07, 0.13)
    start, middle = (20, 0.72 - bend / 2) if expression == "happy" else (200, 0.72 + bend)
    lips = 150, 40, 50
    cv2.ellipse(image, point(0.5, middle), axes(0.24, bend), 0, start, start + 140, lips, line + 1, cv2.LINE_AA, shift)


def _scale_color(color: object, factor: float) -> tuple[int, int, int]:
    red, green, blue = np.clip(np.asarray(color, float) * factor, 0, 255).astype(int).tolist()
    return red, green, blue


def write_detection_dataset(folder: Path, count: int, seed: int, size: tuple[int, int] = (240, 320)) -> None:
    """Scenes as data for the detector: images/ and labels/ with labelme files; every tenth picture has no face."""
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
    """Drawn faces as data for the classifier: one folder a mood, each face cut with MARGIN around its box."""
    rng = np.random.default_rng(seed)
    for mood in EXPRESSIONS:
        (folder / mood).mkdir(parents=True, exist_ok=True)
    number = 0
    while number < count:
        scene = draw_scene(rng, (240, 320), 3)
        for box, mood in zip(scene.boxes, scene.expressions, strict=True):
            face = crop_face(scene.image, box, FACE_CROP_MARGIN, (96, 96))
            cv2.imwrite(str(folder / mood / f"{number:04d}.png"), to_rgb(face))
            number += 1


def write_frame_folder(path: Path, count: int, seed: int, size: tuple[int, int] = (240, 320)) -> list[Scene]:
    """Scenes with one to three faces as PNG pictures in a folder; returns what they hold."""
    rng = np.random.default_rng(seed)
    path.mkdir(parents=True, exist_ok=True)
    scenes = [draw_scene(rng, size, int(rng.integers(1, 4))) for _ in range(count)]
    for number, scene in enumerate(scenes):
        cv2.imwrite(str(path / f"{number:04d}.png"), to_rgb(scene.image))
    return scenes
