"""Detections and false positives in arrays: an evaluation of many images keeps a hundred of them for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.inference.detector import Detection
from pocketsight.device.vision.boxes import Box
from pocketsight.train.evaluation.matching import ImageResult, Match, RegionAppearance


class FaceArray(Sequence[Detection]):
    """Faces of a detector, whose numbers are float32, in 20 bytes each."""

    __slots__ = ("rows",)

    def __init__(self, faces: Sequence[Detection]) -> None:
        self.rows = np.array([(*face.box, face.score) for face in faces], np.float32).reshape(-1, 5)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Detection: ...
    @overload
    def __getitem__(self, index: slice) -> list[Detection]: ...
    def __getitem__(self, index: int | slice) -> Detection | list[Detection]:
        rows = self.rows[index].tolist()
        return [_face(row) for row in rows] if isinstance(index, slice) else _face(rows)

    def __iter__(self) -> Iterator[Detection]:
        return map(_face, self.rows.tolist())


def _face(row: list[float]) -> Detection:
    return Detection(Box(*row[:4]), row[4])


class FalsePositives:
    """The false positives of many images, in 32 bytes each; they are made when they are iterated over."""

    def __init__(self) -> None:
        # Of each image (F, 4): the index of the detection, IoU, brightness and sharpness.
        self.parts: list[tuple[ImageResult, NDArray[np.float64]]] = []

    def extend(self, image: ImageResult, matches: Sequence[Match]) -> None:
        """Add the false positives of an image."""
        numbers = {face: n for n, face in enumerate(image.detections)}
        rows = [(numbers[match.detection], match.iou, *match.appearance) for match in matches if match.detection]
        if rows:
            self.parts.append((image, np.array(rows, np.float64)))

    def __iter__(self) -> Iterator[Match]:
        for image, rows in self.parts:
            faces = list(image.detections)
            for number, overlap, brightness, sharpness in rows.tolist():
                yield Match(image, None, faces[int(number)], overlap, RegionAppearance(brightness, sharpness))
