"""Metrics by formula: average precision, calibration error, confidence intervals."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketsight.train.evaluation.matching import ImageResult

FloatArray = NDArray[np.float64]

COCO_IMAGES = 64  # images that pycocotools gets at a time
ECE_BINS = 15  # bins of the calibration error
MIN_SAMPLES = 30  # fewer samples allow no conclusion
CONFIDENCE = 0.95


def count_at_least(scores: FloatArray, thresholds: FloatArray) -> FloatArray:
    """For each threshold (T,) the number of scores (N,) that reach it, as (T,) float64."""
    return (len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")).astype(np.float64)


def precision_recall_at(
    true_scores: FloatArray, false_scores: FloatArray, thresholds: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Precision, recall and number of false positives at each threshold, each (T,).

    `true_scores` has one score per labeled face, 0 where no detection matched it; `false_scores` has those of the
    false positives.
    """
    right, wrong = count_at_least(true_scores, thresholds), count_at_least(false_scores, thresholds)
    return right / np.maximum(right + wrong, 1), right / max(len(true_scores), 1), wrong


def average_precision(true_scores: FloatArray, false_scores: FloatArray, false_positive_weight: float = 1.0) -> float:
    """AP at IoU 0.5 over COCO's 101 recall levels; the scores are as in `precision_recall_at`.

    A false positive counts as `false_positive_weight`. Detections with equal scores are taken together; COCO takes
    them in their order.
    """
    levels = np.union1d(np.unique(true_scores[true_scores > 0]), np.unique(false_scores))[::-1]
    right = count_at_least(true_scores, levels)
    wrong = false_positive_weight * count_at_least(false_scores, levels)
    precision = right / np.maximum(right + wrong, 1e-9)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)  # 0: the precision at an unreached recall
    reached = np.searchsorted(right / max(len(true_scores), 1), np.linspace(0, 1, 101), side="left")
    return float(best[reached].mean())


def coco_precision(results: Sequence[ImageResult]) -> tuple[FloatArray, FloatArray]:
    """pycocotools' precision (10 IoU limits, 101 recall levels), and the score (101,) at each recall for IoU 0.5.

    It takes some images at a time, and keeps a few bytes for each detection.
    """
    if not any(len(result.detections) for result in results):
        return np.zeros((10, 101)), np.zeros(101)
    total, faces, start = sum(len(result.detections) for result in results), 0, 0
    scores, matched, ignored = (
        np.empty(total, np.float32),
        np.empty((2, total), np.uint8),
        np.empty((2, total), np.uint8),
    )
    for n in range(0, len(results), COCO_IMAGES):
        part = _match_as_coco(results[n : n + COCO_IMAGES])
        here = slice(start, start + len(part.scores))
        scores[here], matched[:, here], ignored[:, here] = part.scores, part.matched, part.ignored
        faces, start = faces + part.faces, here.stop
    scores, matched, ignored = scores[:start], matched[:, :start], ignored[:, :start]
    order = np.argsort(-scores, kind="stable")
    scores, matched, ignored = scores[order], matched[:, order], ignored[:, order]
    del order
    lines = [_recall_levels(_bit_row(matched, n), _bit_row(ignored, n), faces) for n in range(10)]
    reached = np.append(scores, np.float32(0))[lines[0][1]]
    return np.array([precision for precision, _ in lines]), reached.astype(np.float64)


class _CocoMatches(NamedTuple):
    """The D detections of some images, as pycocotools matched them at its 10 IoU limits, which are bits."""

    scores: NDArray[np.float32]  # (D,)
    matched: NDArray[np.uint8]  # (2, D)
    ignored: NDArray[np.uint8]  # (2, D)
    faces: int  # labeled ones that count


def _match_as_coco(results: Sequence[ImageResult]) -> _CocoMatches:
    run = _coco_run(results)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        run.evaluate()
    images = [image for image in run.evalImgs if image]
    return _CocoMatches(
        np.concatenate([np.array(image["dtScores"], np.float32) for image in images] or [np.empty(0, np.float32)]),
        _to_bits([image["dtMatches"] for image in images]),
        _to_bits([image["dtIgnore"] for image in images]),
        sum(int((np.array(image["gtIgnore"]) == 0).sum()) for image in images),
    )


def _to_bits(flags: list[NDArray[Any]]) -> NDArray[np.uint8]:
    return np.packbits(np.concatenate([each > 0 for each in flags] or [np.empty((10, 0), bool)], axis=1), axis=0)


def _bit_row(bits: NDArray[np.uint8], row: int) -> NDArray[np.bool_]:
    return np.asarray(bits[row // 8] & (128 >> row % 8), bool)


def _recall_levels(
    matched: NDArray[np.bool_], ignored: NDArray[np.bool_], faces: int
) -> tuple[FloatArray, NDArray[np.intp]]:
    """Precision (101,) at COCO's recall levels, and the detection (101,) that reaches each, of D detections.

    The detections are sorted, best first. D stands for a level that none reaches.
    """
    hits = np.flatnonzero(matched & ~ignored)  # recall and the best precision change only there
    right = np.arange(1, len(hits) + 1)
    counted = hits + 1 - np.cumsum(ignored, dtype=np.int32)[hits]
    precision = right / (counted + np.spacing(1))  # as pycocotools avoids a division by 0
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    levels = np.searchsorted(right / max(faces, 1), np.linspace(0, 1, 101), side="left")
    reached = np.append(hits, len(matched))[levels]
    reached[0] = 0  # recall 0
    return best[levels], reached


def _coco_run(results: Sequence[ImageResult]) -> Any:
    """A COCOeval of the images."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        for side, annotations in ((truth, _coco_annotations(results)), (found, _coco_detections(results))):
            side.dataset = {
                "images": [{"id": n} for n in range(len(results))],
                "annotations": annotations,
                "categories": [{"id": 1, "name": "face"}],
            }
            side.createIndex()
        run = COCOeval(truth, found, "bbox")
    run.params.areaRng, run.params.areaRngLbl, run.params.maxDets = [[0, 1e10]], ["all"], [300]
    run.params.catIds = [1]
    return run


def _coco_annotations(results: Sequence[ImageResult]) -> list[dict[str, Any]]:
    boxes = [
        (n, crowd, box)
        for n, result in enumerate(results)
        for crowd, some in ((0, result.truth_boxes), (1, result.ignore_boxes))
        for box in some
    ]
    return [
        {
            "id": number,
            "image_id": n,
            "category_id": 1,
            "bbox": _coco_box(box),
            "area": float(np.prod(box[2:] - box[:2])),
            "iscrowd": crowd,
        }
        for number, (n, crowd, box) in enumerate(boxes, start=1)
    ]


def _coco_detections(results: Sequence[ImageResult]) -> list[dict[str, Any]]:
    faces = [(n, face.score, _coco_box(face.box)) for n, result in enumerate(results) for face in result.detections]
    return [
        {"id": n, "image_id": image, "category_id": 1, "bbox": box, "score": score, "area": box[2] * box[3]}
        for n, (image, score, box) in enumerate(faces, start=1)
    ]


def _coco_box(box: Any) -> list[float]:
    """Left, top, width, height."""
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]


def calibration_error(
    scores: FloatArray, correctness: NDArray[np.bool_] | FloatArray, weights: FloatArray | None = None
) -> float:
    """Expected calibration error (ECE) with 15 bins of equal width (Guo et al. 2017).

    `correctness` (N,) is 0 or 1, or between for soft labels. `weights` (N,) default to 1 each.
    """
    if not len(scores):
        return 0.0
    weights = np.ones(len(scores)) if weights is None else weights
    bins = np.clip((scores * ECE_BINS).astype(int), 0, ECE_BINS - 1)
    gaps = np.bincount(bins, weights * scores, ECE_BINS) - np.bincount(bins, weights * correctness, ECE_BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def wilson_interval(successes: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); 0 to 1 where `total` is 0."""
    from scipy.stats import binomtest

    if not total:
        return 0.0, 1.0
    interval = binomtest(successes, total).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def poisson_upper_bound(counts: FloatArray) -> FloatArray:
    """Upper end of the one-sided 95 % interval of the expected number of rare events (Garwood 1936); 3.0 for 0."""
    from scipy.stats import chi2

    return np.asarray(chi2.ppf(CONFIDENCE, 2 * counts + 2) / 2, np.float64)
