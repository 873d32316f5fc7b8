"""How good a detector is, by the board's own `detect`, whether it is a Keras net or a .tflite file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.console import ProgressFn
from pocketsight.train.datasets.detection import DetectionSample
from pocketsight.train.evaluation.matching import ImageResult, Match, collect_matches
from pocketsight.train.evaluation.metrics import FloatArray, coco_precision, precision_recall_at

MIN_SCORE = 0.02  # score from which detections count towards the curve
DETECTOR_FRAME_SIZE = 240, 320  # height, width that pictures are fitted to, as a board's camera would deliver them
MIN_FACE_SIZE = 16.0  # px of the frame; longer side of the smallest face that counts
REPORTED_THRESHOLDS = np.arange(2, 100) / 100  # thresholds of the trade-off that is reported


@dataclass(frozen=True)
class DetectionResults:
    """What one pass over the pictures gave: all figures, plots and galleries are made from it."""

    images: list[ImageResult]  # without their pixels
    faces: list[Match]  # those that count
    false_positives: list[Match]  # false ones, from FLOOR
    skipped: list[str]
    frame_size: tuple[int, int]
    min_face_size: float


def iter_results(
    detector: Model,
    samples: Iterable[DetectionSample],
    frame_size: tuple[int, int],
    min_face_size: float,
    skipped: list[str],
) -> Iterator[ImageResult]:
    """Run the detector on each readable picture; names of the others go to `skipped`."""
    for example in samples:
        try:
            image, scale = letterbox(example.read(), frame_size)
        except DataError as error:
            skipped.append(str(error))
            continue
        boxes, ignore = example.boxes * np.float32(scale), example.ignored_boxes * np.float32(scale)
        counts = (boxes[:, 2:] - boxes[:, :2]).max(-1, initial=0) >= min_face_size
        ignored = np.concatenate([boxes[~counts], ignore])
        masked = tuple(m for m, counted in zip(example.mask_states, counts.tolist(), strict=False) if counted)
        found = detect(image, detector, score_threshold=MIN_SCORE)
        yield ImageResult(example.path, image, boxes[counts], ignored, found, scale, example.source, masked)


def run_detector(
    detector: Model,
    samples: Sequence[DetectionSample],
    frame_size: tuple[int, int] = DETECTOR_FRAME_SIZE,
    min_face_size: float = MIN_FACE_SIZE,
    progress: ProgressFn = iter,
) -> DetectionResults:
    """Run the detector once on every picture. Raises DataError when they hold no face that counts.

    A face smaller than `smallest`, and a region marked to ignore, is neither asked for nor a false alarm.
    """
    results = DetectionResults([], [], [], [], frame_size, min_face_size)
    for full in iter_results(detector, progress(samples), frame_size, min_face_size, results.skipped):
        seen = replace(full, frame=full.frame[:0])
        faces, false_positives = collect_matches(seen, full.frame)
        results.images.append(seen)
        results.faces.extend(faces)
        results.false_positives.extend(false_positives)
    if not results.faces:
        raise DataError(
            f"no face of {min_face_size:g} px or more in {len(results.images)} pictures; there is nothing to score"
        )
    return results


def evaluate_detector(
    detector: Model,
    samples: Sequence[DetectionSample],
    frame_size: tuple[int, int] = DETECTOR_FRAME_SIZE,
    min_face_size: float = MIN_FACE_SIZE,
    progress: ProgressFn = iter,
) -> dict[str, Any]:
    """Look at the pictures, and measure at the model's threshold."""
    return compute_detector_metrics(
        run_detector(detector, samples, frame_size, min_face_size, progress), detector.spec.score_threshold
    )


def compute_detector_metrics(results: DetectionResults, threshold: float) -> dict[str, Any]:
    """AP at IoU 0.5 and 0.5:0.95, the curve at 0.5, and precision and recall at the threshold and at others."""
    precision, scores = coco_precision(results.images)
    found, false_positives = match_scores(results.faces), match_scores(results.false_positives)
    here = precision_recall_at(found, false_positives, np.array([threshold]))
    whole = precision_recall_at(found, false_positives, REPORTED_THRESHOLDS)
    return {
        "ap50": round(float(precision[0].mean()), 4),
        "ap": round(float(precision.mean()), 4),
        "images": len(results.images),
        "faces": len(results.faces),
        "skipped": results.skipped,
        "frame": [results.frame_size[1], results.frame_size[0]],
        "min_face": results.min_face_size,
        "threshold": threshold,
        "precision": round(float(here[0][0]), 4),
        "recall": round(float(here[1][0]), 4),
        "curve": {
            "recall": np.linspace(0, 1, 101).round(2).tolist(),
            "precision": precision[0].round(4).tolist(),
            "score": scores.round(4).tolist(),
        },
        "tradeoff": {
            "threshold": REPORTED_THRESHOLDS.tolist(),
            "precision": whole[0].round(4).tolist(),
            "recall": whole[1].round(4).tolist(),
            "alarms_a_picture": (whole[2] / len(results.images)).round(4).tolist(),
        },
    }


def match_scores(matches: Sequence[Match]) -> FloatArray:
    """(N,): the scores of spots; 0 for a face that no detection found."""
    return np.array([spot.score for spot in matches], np.float64)
