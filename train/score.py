"""How good a detector is, by the board's own `detect`, whether it is a Keras net or a .tflite file."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.detector import detect
from pocketsight.device.errors import DataError
from pocketsight.device.image import fit
from pocketsight.device.interpreter import Loaded
from pocketsight.train.faces import Example
from pocketsight.train.match import Seen, Spot, spots

FLOOR = 0.02  # score from which detections count towards the curve
FRAME = 240, 320  # height, width that pictures are fitted to, as a board's camera would deliver them
SMALLEST = 16.0  # px of the frame; longer side of the smallest face that counts
GRID = np.arange(2, 100) / 100  # thresholds of the trade-off that is reported

Numbers = NDArray[np.float64]
Track = Callable[[Sequence[Any]], Iterable[Any]]  # wraps an iteration in a progress bar


@dataclass(frozen=True)
class Looked:
    """What one pass over the pictures gave: all figures, plots and galleries are made from it."""

    seen: list[Seen]  # without their pixels
    faces: list[Spot]  # those that count
    alarms: list[Spot]  # false ones, from FLOOR
    skipped: list[str]
    frame: tuple[int, int]
    smallest: float


def see(
    detector: Loaded, examples: Iterable[Example], frame: tuple[int, int], smallest: float, skipped: list[str]
) -> Iterator[Seen]:
    """Run the detector on each readable picture; names of the others go to `skipped`."""
    for example in examples:
        try:
            image, scale = fit(example.read(), frame)
        except DataError as error:
            skipped.append(str(error))
            continue
        boxes, ignore = example.boxes * np.float32(scale), example.ignore * np.float32(scale)
        counts = (boxes[:, 2:] - boxes[:, :2]).max(-1, initial=0) >= smallest
        ignored = np.concatenate([boxes[~counts], ignore])
        masked = tuple(m for m, counted in zip(example.masked, counts.tolist(), strict=False) if counted)
        found = detect(image, detector, threshold=FLOOR)
        yield Seen(example.path, image, boxes[counts], ignored, found, scale, example.source, masked)


def look(
    detector: Loaded, examples: Sequence[Example], frame: tuple[int, int] = FRAME, smallest: float = SMALLEST,
    track: Track = iter,
) -> Looked:  # fmt: skip
    """Run the detector once on every picture. Raises DataError when they hold no face that counts.

    A face smaller than `smallest`, and a region marked to ignore, is neither asked for nor a false alarm.
    """
    looked = Looked([], [], [], [], frame, smallest)
    for full in see(detector, track(examples), frame, smallest, looked.skipped):
        seen = replace(full, frame=full.frame[:0])
        faces, alarms = spots(seen, full.frame)
        looked.seen.append(seen)
        looked.faces.extend(faces)
        looked.alarms.extend(alarms)
    if not looked.faces:
        raise DataError(f"no face of {smallest:g} px or more in {len(looked.seen)} pictures; there is nothing to score")
    return looked


def score_detector(
    detector: Loaded, examples: Sequence[Example], frame: tuple[int, int] = FRAME, smallest: float = SMALLEST,
    track: Track = iter,
) -> dict[str, Any]:  # fmt: skip
    """Look at the pictures, and measure at the model's threshold."""
    return measure(look(detector, examples, frame, smallest, track), detector.spec.threshold)


def measure(looked: Looked, threshold: float) -> dict[str, Any]:
    """AP at IoU 0.5 and 0.5:0.95, the curve at 0.5, and precision and recall at the threshold and at others."""
    precision, scores = _coco(looked.seen)
    found, alarms = scores_of(looked.faces), scores_of(looked.alarms)
    here = tradeoff(found, alarms, np.array([threshold]))
    whole = tradeoff(found, alarms, GRID)
    return {
        "ap50": round(float(precision[0].mean()), 4),
        "ap": round(float(precision.mean()), 4),
        "images": len(looked.seen),
        "faces": len(looked.faces),
        "skipped": looked.skipped,
        "frame": [looked.frame[1], looked.frame[0]],
        "min_face": looked.smallest,
        "threshold": threshold,
        "precision": round(float(here[0][0]), 4),
        "recall": round(float(here[1][0]), 4),
        "curve": {
            "recall": np.linspace(0, 1, 101).round(2).tolist(),
            "precision": precision[0].round(4).tolist(),
            "score": scores.round(4).tolist(),
        },
        "tradeoff": {
            "threshold": GRID.tolist(),
            "precision": whole[0].round(4).tolist(),
            "recall": whole[1].round(4).tolist(),
            "alarms_a_picture": (whole[2] / len(looked.seen)).round(4).tolist(),
        },
    }


def scores_of(some: Sequence[Spot]) -> Numbers:
    """(N,): the scores of spots; 0 for a face that no detection found."""
    return np.array([spot.score for spot in some], np.float64)


def at_least(scores: Numbers, thresholds: Numbers) -> Numbers:
    """For each threshold how many scores reach it."""
    return (len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")).astype(np.float64)


def tradeoff(found: Numbers, alarms: Numbers, thresholds: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Precision, recall and the number of false alarms at each threshold.

    `found` are the scores of the faces' detections, 0 where there is none, `alarms` those of false alarms.
    """
    right, wrong = at_least(found, thresholds), at_least(alarms, thresholds)
    return right / np.maximum(right + wrong, 1), right / max(len(found), 1), wrong


def average_precision(found: Numbers, alarms: Numbers, share: float = 1.0) -> float:
    """AP at IoU 0.5 from the scores of the faces' detections and of false alarms, at COCO's 101 recalls.

    Each false alarm counts as `share`. Detections of one score stand or fall together, where COCO takes their order.
    """
    levels = np.unique(np.concatenate([found[found > 0], alarms]))[::-1]
    right, wrong = at_least(found, levels), share * at_least(alarms, levels)
    precision = right / np.maximum(right + wrong, 1e-9)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)  # 0: a recall that is never reached
    reached = np.searchsorted(right / max(len(found), 1), np.linspace(0, 1, 101), side="left")
    return float(best[reached].mean())


def _coco(seen: list[Seen]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """pycocotools' precision (10 IoU limits, 101 recalls), and the score at each recall for IoU 0.5."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def wide(box: Any) -> list[float]:
        return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]

    notes = [
        {"image_id": n, "category_id": 1, "bbox": wide(b), "area": float(np.prod(b[2:] - b[:2])), "iscrowd": crowd}
        for n, s in enumerate(seen)
        for crowd, boxes in ((0, s.boxes), (1, s.ignore))
        for b in boxes
    ]
    found = [
        {"image_id": n, "category_id": 1, "bbox": wide(f.box), "score": f.score}
        for n, s in enumerate(seen)
        for f in s.found
    ]
    if not found:
        return np.zeros((10, 101)), np.zeros(101)
    with contextlib.redirect_stdout(io.StringIO()):  # it talks
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": n} for n in range(len(seen))],
            "annotations": [{**note, "id": n + 1} for n, note in enumerate(notes)],
            "categories": [{"id": 1, "name": "face"}],
        }
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(found), "bbox")
        run.params.areaRng, run.params.areaRngLbl, run.params.maxDets = [[0, 1e10]], ["all"], [300]
        run.evaluate()
        run.accumulate()
    return run.eval["precision"][:, :, 0, 0, 0], run.eval["scores"][0, :, 0, 0, 0]


def best_threshold(curve: dict[str, list[float]]) -> float:
    """The score at which precision and recall have the highest harmonic mean (F1)."""
    precision, recall = np.array(curve["precision"]), np.array(curve["recall"])
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    return round(float(np.clip(curve["score"][int(f1.argmax())], 0.05, 0.95)), 3)
