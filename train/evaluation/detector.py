"""How good a detector is, by the board's own `detect`, whether it is a Keras net or a .tflite file."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.image import letterbox
from pocketsight.train.datasets.detection import DetectionSample
from pocketsight.train.evaluation.matching import ImageResult, Match, collect_matches

MIN_SCORE = 0.02  # score from which detections count towards the curve
DETECTOR_FRAME_SIZE = 240, 320  # height, width that pictures are fitted to, as a board's camera would deliver them
MIN_FACE_SIZE = 16.0  # px of the frame; longer side of the smallest face that counts
REPORTED_THRESHOLDS = np.arange(2, 100) / 100  # thresholds of the trade-off that is reported

FloatArray = NDArray[np.float64]
ProgressFn = Callable[[Sequence[Any]], Iterable[Any]]  # wraps an iteration in a progress bar


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
    detector: Model, samples: Sequence[DetectionSample], frame_size: tuple[int, int] = DETECTOR_FRAME_SIZE, min_face_size: float = MIN_FACE_SIZE,
    progress: ProgressFn = iter,
) -> DetectionResults:  # fmt: skip
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
    detector: Model, samples: Sequence[DetectionSample], frame_size: tuple[int, int] = DETECTOR_FRAME_SIZE, min_face_size: float = MIN_FACE_SIZE,
    progress: ProgressFn = iter,
) -> dict[str, Any]:  # fmt: skip
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


def count_at_least(scores: FloatArray, thresholds: FloatArray) -> FloatArray:
    """For each threshold how many scores reach it."""
    return (len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")).astype(np.float64)


def precision_recall_at(
    found: FloatArray, false_positives: FloatArray, thresholds: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Precision, recall and the number of false alarms at each threshold.

    `found` are the scores of the faces' detections, 0 where there is none, `alarms` those of false alarms.
    """
    right, wrong = count_at_least(found, thresholds), count_at_least(false_positives, thresholds)
    return right / np.maximum(right + wrong, 1), right / max(len(found), 1), wrong


def average_precision(found: FloatArray, false_positives: FloatArray, false_positive_weight: float = 1.0) -> float:
    """AP at IoU 0.5 from the scores of the faces' detections and of false alarms, at COCO's 101 recalls.

    Each false alarm counts as `share`. Detections of one score stand or fall together, where COCO takes their order.
    """
    levels = np.unique(np.concatenate([found[found > 0], false_positives]))[::-1]
    right, wrong = count_at_least(found, levels), false_positive_weight * count_at_least(false_positives, levels)
    precision = right / np.maximum(right + wrong, 1e-9)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)  # 0: a recall that is never reached
    reached = np.searchsorted(right / max(len(found), 1), np.linspace(0, 1, 101), side="left")
    return float(best[reached].mean())


def coco_precision(results: list[ImageResult]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """pycocotools' precision (10 IoU limits, 101 recalls), and the score at each recall for IoU 0.5."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def wide(box: Any) -> list[float]:
        return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]

    notes = [
        {"image_id": n, "category_id": 1, "bbox": wide(b), "area": float(np.prod(b[2:] - b[:2])), "iscrowd": crowd}
        for n, s in enumerate(results)
        for crowd, boxes in ((0, s.truth_boxes), (1, s.ignore_boxes))
        for b in boxes
    ]
    found = [
        {"image_id": n, "category_id": 1, "bbox": wide(f.box), "score": f.score}
        for n, s in enumerate(results)
        for f in s.detections
    ]
    if not found:
        return np.zeros((10, 101)), np.zeros(101)
    with contextlib.redirect_stdout(io.StringIO()):  # it talks
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": n} for n in range(len(results))],
            "annotations": [{**note, "id": n + 1} for n, note in enumerate(notes)],
            "categories": [{"id": 1, "name": "face"}],
        }
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(found), "bbox")
        run.params.areaRng, run.params.areaRngLbl, run.params.maxDets = [[0, 1e10]], ["all"], [300]
        run.evaluate()
        run.accumulate()
    return run.eval["precision"][:, :, 0, 0, 0], run.eval["scores"][0, :, 0, 0, 0]


def best_f1_threshold(curve: dict[str, list[float]]) -> float:
    """The score at which precision and recall have the highest harmonic mean (F1)."""
    precision, recall = np.array(curve["precision"]), np.array(curve["recall"])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return round(float(np.clip(curve["score"][int(f1.argmax())], 0.05, 0.95)), 3)
