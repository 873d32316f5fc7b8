"""TODO docstring."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.train.evaluation.matching import ImageResult

FloatArray = NDArray[np.float64]


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


ECE_BINS = 15  # of the calibration error


def calibration_error(
    scores: FloatArray, correctness: NDArray[np.bool_] | FloatArray, weights: FloatArray | None = None
) -> float:
    """How far scores are from the shares of right answers (ECE, 15 bins of equal width: Guo et al. 2017).

    Where people voted, an answer may be right in part. `weights` (N,) say how much each counts; without, all the same.
    """
    if not len(scores):
        return 0.0
    weights = np.ones(len(scores)) if weights is None else weights
    bins = np.clip((scores * ECE_BINS).astype(int), 0, ECE_BINS - 1)
    gaps = np.bincount(bins, weights * scores, ECE_BINS) - np.bincount(bins, weights * correctness, ECE_BINS)
    return float(np.abs(gaps).sum() / weights.sum())


MIN_SAMPLES = 30  # faces; fewer say nothing


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); all of 0 to 1 where there is nothing to count."""
    if not total:
        return 0.0, 1.0
    z = 1.96
    middle, spread = successes + z * z / 2, z * (successes * (total - successes) / total + z * z / 4) ** 0.5
    return max(0.0, (middle - spread) / (total + z * z)), min(1.0, (middle + spread) / (total + z * z))


def poisson_upper_bound(counts: FloatArray) -> FloatArray:
    """How often rare events of such counts may be expected at most (95 %, Garwood 1936); 3 times where none came."""
    from scipy.stats import chi2

    return np.asarray(chi2.ppf(0.95, 2 * counts + 2) / 2, np.float64)
