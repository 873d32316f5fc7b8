"""Which labels a detector of several takes for each other: a matrix, and errors.html with the images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.boxes import coverage_matrix, iou_matrix
from pocketsight.train.evaluation.detector import DetectionResults
from pocketsight.train.evaluation.detector_errors import LEGEND, MAX_TILES, match_jpeg
from pocketsight.train.evaluation.error_page import Section, Tile, write_error_page
from pocketsight.train.evaluation.matching import MATCH_IOU, ImageResult, Match, RegionAppearance
from pocketsight.train.evaluation.reports import DetectorScores


def confusion_matrix(
    images: Sequence[ImageResult], labels: Sequence[str], thresholds: Mapping[str, float]
) -> NDArray[np.int64]:
    """(K + 1, K + 1): how often an object of a row's label was detected as one of a column's.

    The last row counts detections without an object, the last column objects that were not detected. Boxes are matched
    at IoU 0.5 whatever their labels are, those with the highest score first.
    """
    counts = np.zeros((len(labels) + 1, len(labels) + 1), np.int64)
    numbers = {label: n for n, label in enumerate(labels)}
    for image in images:
        found = [each for each in image.detections if each.score >= thresholds[each.label]]
        boxes = np.array([each.box for each in found], np.float32).reshape(-1, 4)
        overlaps = iou_matrix(boxes, image.truth_boxes)
        ignored = np.any(coverage_matrix(boxes, image.ignore_boxes) >= MATCH_IOU, axis=-1)
        free = np.ones(len(image.truth_boxes), bool)
        for each, row, ignore in zip(found, overlaps, ignored, strict=True):
            row = row * free
            best = int(row.argmax()) if len(row) else -1
            if best >= 0 and row[best] >= MATCH_IOU:
                free[best] = False
                counts[numbers[image.truth_labels[best]], numbers[each.label]] += 1
            elif not ignore:
                counts[-1, numbers[each.label]] += 1
        for label in np.array(image.truth_labels, object)[free]:
            counts[numbers[label], -1] += 1
    return counts


def folder_name(label: str) -> str:
    """A name for the folder of a label."""
    return re.sub(r"[^\w-]+", "_", label)


def keep_reported(image: ImageResult, thresholds: Mapping[str, float]) -> ImageResult:
    """The image with those detections that reach the thresholds of their labels."""
    found = [each for each in image.detections if each.score >= thresholds.get(each.label, 1.0)]
    return replace(image, detections=found)


def write_confusion_page(results: DetectionResults, scores: DetectorScores, target: Path) -> None:
    """Write errors.html: the metrics of the labels, and the objects that were detected with another label.

    Raises DataError when it cannot be written.
    """
    by_label = scores["by_label"]
    thresholds = {label: own["threshold"] for label, own in by_label.items()}
    confused = list(_confused(results.images, thresholds))
    tiles = [
        Tile(
            [(match_jpeg(match, 0.0), path.name)], [f"{truth} detected as {found}, score {match.score:.2f}", path.name]
        )
        for truth, found, match in sorted(confused, key=lambda each: -each[2].score)[:MAX_TILES]
        for path in [match.image_result.path]
    ]
    note = "Highest scores first. Some may have the wrong label: fix it before you train again."
    table = "; ".join(f"{label}: AP50 {own['ap50']:.3f}, {own['faces']} objects" for label, own in by_label.items())
    write_error_page(
        target,
        "Errors of the detector",
        f"{scores['images']} images. {table}. The folder of each label has a page of its errors.",
        scores["recommendations"],
        [Section(f"Detected with another label: {len(confused)}", note, tiles)],
        "detector_errors.html.j2",
        slices={},
        notes={},
        legend=LEGEND,
    )


def _confused(images: Sequence[ImageResult], thresholds: Mapping[str, float]) -> Iterator[tuple[str, str, Match]]:
    """The label of an object, the one that was detected, and the detection, which is no true positive."""
    for image in map(keep_reported, images, repeat(thresholds)):
        boxes = np.array([each.box for each in image.detections], np.float32).reshape(-1, 4)
        if not len(boxes) or not len(image.truth_boxes):
            continue
        overlaps = iou_matrix(boxes, image.truth_boxes)
        for each, row in zip(image.detections, overlaps, strict=True):
            best = int(row.argmax())
            if row[best] >= MATCH_IOU and image.truth_labels[best] != each.label:
                box, look = image.truth_boxes[best], RegionAppearance(0.0, 0.0)
                yield image.truth_labels[best], each.label, Match(image, box, each, float(row[best]), look)
