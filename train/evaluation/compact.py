"""Detections and false positives in arrays: an evaluation of many images keeps a hundred of them for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.inference.detector import Detection
from pocketsight.device.vision.boxes import Box
from pocketsight.train.evaluation.matching import FalsePositiveRows, ImageResult, Match, RegionAppearance


class FaceArray(Sequence[Detection]):
    """Detections, whose numbers are float32, in 24 bytes each: box, score and kind. `labels` are those of the kinds."""

    __slots__ = ("labels", "rows")

    def __init__(self, found: Sequence[Detection], labels: Sequence[str] = ("face",)) -> None:
        kinds = {label: number for number, label in enumerate(labels)}
        rows = [(*each.box, each.score, kinds.get(each.label, 0)) for each in found]
        self.rows, self.labels = np.array(rows, np.float32).reshape(-1, 6), labels

    def of_label(self, label: str) -> FaceArray:
        """Those with one label."""
        chosen = FaceArray((), self.labels)
        chosen.rows = self.rows[self.rows[:, 5] == self.labels.index(label)]
        return chosen

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Detection: ...
    @overload
    def __getitem__(self, index: slice) -> list[Detection]: ...
    def __getitem__(self, index: int | slice) -> Detection | list[Detection]:
        rows = self.rows[index].tolist()
        return list(map(self._detection, rows)) if isinstance(index, slice) else self._detection(rows)

    def __iter__(self) -> Iterator[Detection]:
        return map(self._detection, self.rows.tolist())

    def _detection(self, row: list[float]) -> Detection:
        return Detection(Box(*row[:4]), row[4], self.labels[int(row[5])])


def of_label(result: ImageResult, label: str) -> ImageResult:
    """The boxes and detections of one label, in an image of several."""
    assert isinstance(result.detections, FaceArray)
    chosen = np.array([own == label for own in result.truth_labels], bool)
    mask_states = tuple(compress(result.mask_states, chosen.tolist()))
    return replace(
        result,
        truth_boxes=result.truth_boxes[chosen],
        detections=result.detections.of_label(label),
        mask_states=mask_states,
        truth_labels=tuple(compress(result.truth_labels, chosen.tolist())),
    )


class MatchColumns(NamedTuple):
    """Matches of one image in arrays, each (N,)."""

    source: str
    scores: NDArray[np.floating[Any]]  # 0 for a missed face
    sizes: NDArray[np.floating[Any]]  # longer side of the box, px of the frame
    overlaps: NDArray[np.floating[Any]]
    brightness: NDArray[np.floating[Any]]
    sharpness: NDArray[np.floating[Any]]
    mask_states: NDArray[np.int64]


def face_columns(match: Match) -> MatchColumns:
    """One face as columns, each (1,)."""
    score, size, overlap, brightness, sharpness = np.array(
        (match.score, match.size, match.iou, *match.appearance), np.float64
    ).reshape(5, 1)
    states = np.array([match.mask_state])
    return MatchColumns(match.image_result.source, score, size, overlap, brightness, sharpness, states)


class FalsePositives:
    """The false positives of many images, in 16 bytes each. Most have a low score, and never become objects."""

    def __init__(self) -> None:
        self.parts: list[tuple[ImageResult, FalsePositiveRows]] = []

    def extend(self, image: ImageResult, rows: FalsePositiveRows) -> None:
        """Add the false positives of an image."""
        if len(rows):
            self.parts.append((image, rows))

    def __iter__(self) -> Iterator[Match]:
        return self.at_least(0.0)

    def at_least(self, threshold: float) -> Iterator[Match]:
        """Those whose score reaches the threshold."""
        for image, rows in self.parts:
            kept = rows[_detections(image, rows)[:, 4] >= threshold]
            for number, overlap, brightness, sharpness in kept.tolist():
                appearance = RegionAppearance(brightness, sharpness)
                yield Match(image, None, image.detections[int(number)], overlap, appearance)

    def columns(self) -> Iterator[MatchColumns]:
        """Those of each image."""
        for image, rows in self.parts:
            found = _detections(image, rows)
            sizes = (found[:, 2:4] - found[:, :2]).max(-1)
            _, overlaps, brightness, sharpness = rows.T
            unknown = np.full(len(rows), -1)
            yield MatchColumns(image.source, found[:, 4], sizes, overlaps, brightness, sharpness, unknown)

    def scores(self, images_without_boxes: bool = False) -> NDArray[np.float64]:
        """(N,): the scores, on request those in images that have neither labeled boxes nor regions to ignore."""
        chosen = [
            (image, rows)
            for image, rows in self.parts
            if not images_without_boxes or not (len(image.truth_boxes) or len(image.ignore_boxes))
        ]
        scores, start = np.empty(sum(len(rows) for _, rows in chosen)), 0
        for image, rows in chosen:
            scores[start : start + len(rows)] = _detections(image, rows)[:, 4]
            start += len(rows)
        return scores


def _detections(image: ImageResult, rows: FalsePositiveRows) -> NDArray[Any]:
    """(F, 5): the boxes and scores of false positives."""
    found = image.detections
    table = found.rows if isinstance(found, FaceArray) else np.array([(*face.box, face.score) for face in found])
    return np.asarray(table[rows[:, 0].astype(int)])
