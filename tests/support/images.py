"""Small data sets and fake models that several tests use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.box_encoding import encode
from pocketsight.device.vision.image import Image, to_rgb
from pocketsight.train.datasets.loader import Batch

DETECTOR = ModelSpec(
    "detector", "fake", (96, 128), ("face",), score_threshold=0.5, strides=(8, 16), nms_iou_threshold=0.4
)
SENTIMENT = ModelSpec("classifier", "fake", (48, 48), ("happy", "sad"), score_threshold=0.6, crop_margin=0.1)


def one_face(image: Image) -> dict[str, QuantizedTensor]:
    """A detector that sees one face, at 16, 16, 48, 48 of whatever it gets."""
    assert image.shape == (96, 128, 3)
    cells = encode(np.array([[16, 16, 48, 48]], np.float32), np.empty((0, 4), np.float32), (96, 128), (8, 16))
    fine, coarse = cells[: 12 * 16].reshape(12, 16, 5), cells[12 * 16 :].reshape(6, 8, 5)
    return {
        "score_8": QuantizedTensor(fine[..., :1]),
        "box_8": QuantizedTensor(fine[..., 1:]),
        "score_16": QuantizedTensor(coarse[..., :1]),
        "box_16": QuantizedTensor(coarse[..., 1:]),
    }


def always_happy(image: Image) -> dict[str, QuantizedTensor]:
    """A classifier that likes everybody."""
    assert image.shape == (48, 48, 3)
    return {"logits": QuantizedTensor(np.array([2.0, 0.0], np.float32))}


FACE, HAPPY = Model(one_face, DETECTOR), Model(always_happy, SENTIMENT)


def picture(path: Path, size: tuple[int, int] = (60, 80), seed: int = 0) -> Path:
    """A file of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (*size, 3)).astype(np.uint8))
    return path


def scene(seed: int, size: tuple[int, int] = (120, 160)) -> Image:
    """Clouds of colour under noise: no two of them look alike, and each has many bytes."""
    rng = np.random.default_rng(seed)
    clouds = cv2.resize(rng.uniform(0, 255, (9, 12, 3)), size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(clouds + rng.normal(0, 12, (*size, 3)), 0, 255).astype(np.uint8)


def save(path: Path, image: Image, quality: int = 95) -> Path:
    """Write an RGB image in the format of its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    assert cv2.imwrite(str(path), to_rgb(image), options)
    return path


def coco(folder: Path, **changes: Any) -> Path:
    """A COCO file of one picture of 80x60 with one face and one region to ignore; `changes` replace its parts."""
    picture(folder / "images" / "a.png")
    notes = [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 10, 20, 30], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [40, 10, 5, 5], "iscrowd": 1},
    ]
    content = {
        "images": [{"id": 7, "file_name": "images/a.png", "width": 80, "height": 60, "group": "g"}],
        "annotations": notes,
        "categories": [{"id": 1, "name": "face"}],
    } | changes
    path = folder / "faces.json"
    path.write_text(json.dumps(content))
    return path


def labelme(folder: Path, name: str, points: list[list[float]], label: str = "face", with_picture: bool = True) -> None:
    """A labelme file with one rectangle, and its picture of 80x60."""
    if with_picture:
        picture(folder / "images" / f"{name}.png")
    (folder / "labels" / name).parent.mkdir(parents=True, exist_ok=True)
    shape = {"label": label, "points": points, "shape_type": "rectangle"}
    note = {"shapes": [shape], "imageWidth": 80, "imageHeight": 60}
    (folder / "labels" / f"{name}.json").write_text(json.dumps(note))


def toy_batch(step: int) -> Batch:
    """Eight vectors and what they add up to, the same for the same step."""
    numbers = np.random.default_rng(step).integers(0, 9, (8, 4)).astype(np.uint8)
    return Batch(numbers, numbers.sum(1, keepdims=True).astype(np.float32), ["a.png is broken"] if step == 3 else [])


def other_batch(step: int) -> Batch:
    """Harder ones: the wanted number is another. Here, since a worker process would import Keras with its test."""
    images, targets, skipped = toy_batch(step)
    return Batch(images, targets + 3, skipped)


def nan_batch(step: int) -> Batch:
    """Batches with a target that is not a number at the 31st step."""
    images, targets, skipped = toy_batch(step)
    return Batch(images, targets * np.float32(np.nan if step == 30 else 1), skipped)


def broken_batch(step: int) -> Batch:
    """Batches that fail at the fifth step."""
    if step == 4:
        raise DataError("almost no image can be read; the last error: x.png")
    return toy_batch(step)
