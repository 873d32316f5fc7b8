"""Evaluate a detector with the board's own `detect`: a Keras network or a .tflite file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.console import ProgressFn
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.evaluation.compact import FaceArray, FalsePositives
from pocketsight.train.evaluation.matching import ImageResult, Match, collect_matches
from pocketsight.train.evaluation.metrics import FloatArray, coco_precision, precision_recall_at
from pocketsight.train.evaluation.reports import DetectorMetrics

MIN_SCORE = 0.02  # lowest score of a detection that counts for the curve
DETECTOR_FRAME_SIZE = 240, 320  # height, width that images are letterboxed to: a frame as a board's camera delivers it
MIN_FACE_SIZE = 16.0  # px of the frame; longer side of the smallest face that counts
REPORTED_THRESHOLDS = np.arange(2, 100) / 100  # thresholds in "tradeoff"


@dataclass(frozen=True)
class DetectionResults:
    """Results of one pass over the images; all metrics, plots and pages are made from them."""

    images: list[ImageResult]
    faces: list[Match]  # those that count
    false_positives: FalsePositives  # scores from MIN_SCORE
    skipped: list[str]
    frame_size: tuple[int, int]
    min_face_size: float


def iter_results(
    detector: Model,
    samples: Iterable[DetectionSample],
    frame_size: tuple[int, int],
    min_face_size: float,
    skipped: list[str],
) -> Iterator[tuple[ImageResult, Image]]:
    """Run the detector on each readable image, and yield the result and the letterboxed frame (H, W, 3).

    The errors of unreadable images are appended to `skipped`.
    """
    for sample in samples:
        try:
            image, scale = letterbox(sample.read(), frame_size)
        except DataError as error:
            skipped.append(str(error))
            continue
        boxes, ignore = sample.boxes * np.float32(scale), sample.ignored_boxes * np.float32(scale)
        counts = (boxes[:, 2:] - boxes[:, :2]).max(-1, initial=0) >= min_face_size
        ignored = np.concatenate([boxes[~counts], ignore])
        mask_states = tuple(m for m, counted in zip(sample.mask_states, counts.tolist(), strict=False) if counted)
        detections = FaceArray(detect(image, detector, score_threshold=MIN_SCORE))
        yield ImageResult(sample.path, boxes[counts], ignored, detections, scale, sample.source, mask_states), image


def run_detector(
    detector: Model,
    samples: Sequence[DetectionSample],
    frame_size: tuple[int, int] = DETECTOR_FRAME_SIZE,
    min_face_size: float = MIN_FACE_SIZE,
    progress: ProgressFn = iter,
) -> DetectionResults:
    """Run the detector once on every image. Raises DataError when no face counts.

    Faces below `min_face_size` px and regions marked to ignore are neither missed faces nor false positives.
    """
    false_positives = FalsePositives()
    results = DetectionResults([], [], false_positives, [], frame_size, min_face_size)
    for result, frame in iter_results(detector, progress(samples), frame_size, min_face_size, results.skipped):
        faces, wrong = collect_matches(result, frame)
        results.images.append(result)
        results.faces.extend(faces)
        false_positives.extend(result, wrong)
    if not results.faces:
        raise DataError(
            f"no face of {min_face_size:g} px or more in {len(results.images)} images; there is nothing to score"
        )
    return results


def evaluate_detector(
    detector: Model,
    samples: Sequence[DetectionSample],
    frame_size: tuple[int, int] = DETECTOR_FRAME_SIZE,
    min_face_size: float = MIN_FACE_SIZE,
    progress: ProgressFn = iter,
) -> DetectorMetrics:
    """Run the detector on the images, and measure at the model's threshold. Raises DataError as `run_detector`."""
    results = run_detector(detector, samples, frame_size, min_face_size, progress)
    return compute_detector_metrics(results, detector.spec.score_threshold)


def compute_detector_metrics(results: DetectionResults, threshold: float) -> DetectorMetrics:
    """AP at IoU 0.5 and 0.5:0.95, the curve at 0.5, and precision and recall at the threshold and at others."""
    precision, scores = coco_precision(results.images)
    true_scores, false_scores = match_scores(results.faces), results.false_positives.scores()
    here = precision_recall_at(true_scores, false_scores, np.array([threshold]))
    tradeoff = precision_recall_at(true_scores, false_scores, REPORTED_THRESHOLDS)
    return {
        "ap50": round(float(precision[0].mean()), 4),
        "ap": round(float(precision.mean()), 4),
        "images": len(results.images),
        "faces": len(results.faces),
        "skipped": results.skipped,
        "frame": [results.frame_size[1], results.frame_size[0]],
        "min_face_size": results.min_face_size,
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
            "precision": tradeoff[0].round(4).tolist(),
            "recall": tradeoff[1].round(4).tolist(),
            "false_positives_per_image": (tradeoff[2] / len(results.images)).round(4).tolist(),
        },
    }


def match_scores(matches: Iterable[Match]) -> FloatArray:
    """(N,): the scores of the matches; 0 for a missed face."""
    return np.fromiter((match.score for match in matches), np.float64)
