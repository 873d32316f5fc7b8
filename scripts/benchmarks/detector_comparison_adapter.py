"""Our detector as a plug-in of an external benchmark of face detectors, which passes images as B, G, R.

The benchmark calls `prepare`, `infer` and `finish` separately, so that the time of the network alone is comparable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.inference.nms import nms
from pocketsight.device.inference.postprocess import decode
from pocketsight.device.vision.image import Image, to_rgb
from pocketsight.device.vision.letterbox import letterbox


class Detector:
    """A grid detector. Boxes are [left, top, right, bottom, score], pixels of the frame."""

    filterable = True  # a higher threshold only removes boxes

    def __init__(self, path: str, params: int | None = None) -> None:
        self.loaded = load_on_cpu(Path(path), "detector", threads=1)
        self.files, self.params = [path], params
        self.default_thr = self.threshold = self.loaded.spec.score_threshold

    def set_threshold(self, threshold: float | None) -> None:
        self.threshold = self.default_thr if threshold is None else threshold

    def prepare(self, bgr: Image) -> Image:
        canvas, self.scale = letterbox(to_rgb(bgr), self.loaded.spec.input_size, self.loaded.input_buffer)
        return canvas

    def infer(self, canvas: Image) -> Any:
        return self.loaded.infer(canvas)

    def finish(self, outputs: Any) -> list[list[float]]:
        boxes, scores = decode(outputs, self.loaded.spec.strides, self.threshold)
        keep = nms(boxes, scores, self.loaded.spec.nms_iou_threshold)
        found = np.concatenate([boxes[keep] / self.scale, scores[keep, np.newaxis]], axis=1)
        return [[float(number) for number in row] for row in found]

    def detect(self, bgr: Image) -> list[list[float]]:
        return self.finish(self.infer(self.prepare(bgr)))
