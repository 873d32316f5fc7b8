"""errors.html of a detector: worst false positives, largest missed faces, loosest boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.annotators.labels import GRAY
from pocketsight.device.errors import DataError
from pocketsight.device.vision.boxes import Boxes
from pocketsight.device.vision.crop import crop_window
from pocketsight.device.vision.image import Image, read_image
from pocketsight.device.vision.resize import resize
from pocketsight.train.contact_sheet import BLUE, ORANGE
from pocketsight.train.evaluation.detector import DetectionResults
from pocketsight.train.evaluation.error_page import Section, Tile, write_error_page
from pocketsight.train.evaluation.matching import NEAR_MISS_IOU, Match
from pocketsight.train.evaluation.reports import DetectorScores
from pocketsight.train.evaluation.slices import SLICE_NOTES
from pocketsight.train.html_page import jpeg_base64

MAX_TILES = 24  # tiles of one kind
TILE_SIZE = 200  # px
CONTEXT_SCALE = 2.5  # side of a tile's window, in longer sides of its box
MIN_WINDOW_SIZE = 48.0  # px of the frame; smallest side of a tile's window
NO_BOXES = np.empty((0, 4), np.float32)
LEGEND = [("detected", BLUE), ("labeled", ORANGE), ("not counted", GRAY)]


def write_detector_errors(results: DetectionResults, scores: DetectorScores, title: str, target: Path) -> None:
    """Write the page. Raises DataError when it cannot be written."""
    threshold = scores["threshold"]
    false_positives = list(results.false_positives.at_least(threshold))
    missed = [match for match in results.faces if match.score < threshold]
    detected = [match for match in results.faces if match.score >= threshold]
    summary = (
        f"{scores['images']} images, {scores['faces']} {results.noun} of {results.min_face_size:g} px and more. At "
        f"threshold {threshold:.2f}: {len(detected)} detected, {len(missed)} missed, {len(false_positives)} false "
        "positives."
    )
    write_error_page(
        target,
        title,
        summary,
        scores["recommendations"],
        _sections(false_positives, missed, detected, threshold, results.noun),
        "detector_errors.html.j2",
        slices=scores["slices"],
        notes={name: SLICE_NOTES.get(name, "") for name in scores["slices"]},
        legend=LEGEND,
    )


def _sections(
    false_positives: Sequence[Match], missed: Sequence[Match], detected: Sequence[Match], threshold: float, noun: str
) -> list[Section]:
    by_score = sorted(false_positives, key=lambda match: -match.score)
    kinds = [
        (
            "False positives",
            f"Highest scores first. Some may be unlabeled {noun}: fix the labels before you train again.",
            [match for match in by_score if match.iou < NEAR_MISS_IOU],
        ),
        (
            "Loose boxes",
            f"False positives that overlap a labeled or ignored {noun[:-1]}, but too little.",
            [match for match in by_score if match.iou >= NEAR_MISS_IOU],
        ),
        (
            f"Missed {noun}",
            "Largest first. If there is a score, a lower threshold would have found it.",
            sorted(missed, key=lambda match: -match.size),
        ),
        (
            "Worst boxes",
            f"Of the detected {noun}, the least overlap (IoU) first. Check which is right: box or label.",
            sorted(detected, key=lambda match: match.iou),
        ),
    ]
    return [_section(name, note, matches, threshold) for name, note, matches in kinds]


def _section(name: str, note: str, matches: Sequence[Match], threshold: float) -> Section:
    shown = f"; the first {MAX_TILES}" if len(matches) > MAX_TILES else ""
    tiles = [
        Tile([(match_jpeg(match, threshold), path.name)], [match_caption(match), path.name])
        for match in matches[:MAX_TILES]
        for path in [match.image_result.path]
    ]
    return Section(f"{name}: {len(matches)}{shown}", note, tiles)


def match_caption(match: Match) -> str:
    """Score, overlap and size of a match."""
    facts = [f"score {match.score:.2f}" if match.detection else "not detected at any score"]
    if match.detection and match.iou:
        facts.append(f"overlap {match.iou:.2f}")
    return ", ".join([*facts, f"{match.size:.0f} px"])


def match_jpeg(match: Match, threshold: float) -> str:
    """A JPEG of the image around a match, in base64; "" when the image can no longer be read."""
    try:
        return jpeg_base64(draw_match(read_image(match.image_result.path), match, threshold))
    except DataError:
        return ""


def draw_match(image: Image, match: Match, threshold: float) -> Image:
    """The image (H, W, 3) around a match, TILE_SIZE x TILE_SIZE, with the boxes labeled and detected there."""
    scale = match.image_result.scale
    side = max(CONTEXT_SCALE * match.size, MIN_WINDOW_SIZE) / scale
    left, top, side = _context_window(match.box / scale, side, image.shape)
    tile = resize(crop_window(image, left, top, left + side, top + side), (TILE_SIZE, TILE_SIZE)).copy()
    for boxes, color, width in _box_groups(match, threshold):
        for box in ((boxes / scale - (left, top, left, top)) * (TILE_SIZE / side)).round().astype(int).tolist():
            cv2.rectangle(tile, (box[0], box[1]), (box[2] - 1, box[3] - 1), color, width)
    return tile


def _box_groups(match: Match, threshold: float) -> list[tuple[Boxes, tuple[int, int, int], int]]:
    """Boxes (N, 4), color and line width, in the order of drawing; those of the match itself are bold."""
    result = match.image_result
    boxes = [face.box for face in result.detections if face.score >= threshold]
    detected = np.array(boxes, np.float32).reshape(-1, 4)
    own = np.array([match.detection.box], np.float32) if match.detection else NO_BOXES
    truth = match.truth_box[None] if match.truth_box is not None else NO_BOXES
    return [
        (result.ignore_boxes, GRAY, 1),
        (result.truth_boxes, ORANGE, 1),
        (detected, BLUE, 1),
        (truth, ORANGE, 2),
        (own, BLUE, 2),
    ]


def _context_window(box: Boxes, side: float, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Left, top and side of a square around a box (4,), moved into the image as far as possible."""
    window = min(round(side), max(shape[:2]))
    center = (box[:2] + box[2:]) / 2
    left, top = (
        round(max(0.0, min(float(at) - window / 2, length - window)))
        for at, length in zip(center, shape[1::-1], strict=True)
    )
    return left, top, max(window, 1)
