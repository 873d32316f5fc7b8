"""A detector of two labels that finds what it is told, and data with boxes of two labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.box_encoding import POSITIVE, encode_batch
from pocketsight.device.vision.image import Image
from pocketsight.train.datasets.detection_sample import NO_BOXES
from tests.support.images import DETECTOR

LABELS = "go", "stop"
TWO_KINDS = replace(DETECTOR, labels=LABELS)

Object = tuple[tuple[float, float, float, float], str, float]
"""Box, label, score."""


def detector_of(objects: Sequence[Object], **changes: object) -> Model:
    """A detector of frames of 128x96 that gives these objects for every image, each in the cells of its box."""
    boxes = np.array([box for box, _, _ in objects], np.float32).reshape(-1, 4)
    kinds = np.arange(len(objects))
    cells = encode_batch([boxes], [NO_BOXES], (96, 128), (8, 16), [kinds])[0]

    def infer(image: Image) -> dict[str, QuantizedTensor]:
        outputs, start = {}, 0
        for stride in (8, 16):
            rows, columns = 96 // stride, 128 // stride
            part = cells[start : start + rows * columns].reshape(rows, columns, 5)
            start += rows * columns
            scores = np.zeros((rows, columns, len(LABELS)), np.float32)
            for number, (_, label, score) in enumerate(objects):
                scores[part[..., 0] == POSITIVE + number, LABELS.index(label)] = score
            outputs[f"score_{stride}"], outputs[f"box_{stride}"] = (
                QuantizedTensor(scores),
                QuantizedTensor(part[..., 1:]),
            )
        return outputs

    return Model(infer, replace(TWO_KINDS, **changes))  # type: ignore[arg-type]


def write_two_labels(folder: Path, count: int = 6) -> Path:
    """A COCO file with images of 128x96, each with a box of "stop"; every second one has a box of "go" as well."""
    (folder / "images").mkdir(parents=True)
    images: list[object] = []
    annotations: list[object] = []
    for number in range(count):
        image = np.random.default_rng(number).integers(0, 255, (96, 128, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
        images.append({"id": number, "file_name": f"images/{number}.png", "height": 96, "width": 128})
        for category, box in ((7, [16, 16, 32, 32]), (3, [70, 40, 40, 40]))[: 1 + number % 2]:
            annotations.append({"id": len(annotations), "image_id": number, "category_id": category, "bbox": box})
    names = [{"id": 3, "name": "go"}, {"id": 7, "name": "stop"}]
    path = folder / "train.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": names}))
    return path
