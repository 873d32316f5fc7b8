"""How good a model is, by the board's own `detect` and `classify`, whether it is a Keras net or a .tflite file."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.device.boxes import Boxes
from edgekit.device.detector import Face, detect
from edgekit.device.errors import DataError
from edgekit.device.image import Image, fit, read_image
from edgekit.device.interpreter import Loaded
from edgekit.device.sentiment import UNSURE, Sentiment, classify
from edgekit.train.expressions import Portrait, face_box
from edgekit.train.faces import Example

FLOOR = 0.02  # score from which detections count towards the curve
FRAME = 240, 320  # height, width that pictures are fitted to, as a board's camera would deliver them
SMALLEST = 16.0  # px of the frame; longer side of the smallest face that counts

Track = Callable[[Sequence[Any]], Iterable[Any]]  # wraps an iteration in a progress bar


@dataclass(frozen=True)
class Seen:
    """One picture after detection. All boxes are in pixels of the fitted frame."""

    path: Path
    frame: Image
    boxes: Boxes  # faces that count
    ignore: Boxes  # faces too small, and regions to ignore
    found: list[Face]  # scores from FLOOR, best first


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
        yield Seen(example.path, image, boxes[counts], ignored, detect(image, detector, threshold=FLOOR))


def score_detector(
    detector: Loaded, examples: Sequence[Example], frame: tuple[int, int] = FRAME, smallest: float = SMALLEST,
    track: Track = iter,
) -> dict[str, Any]:  # fmt: skip
    """AP at IoU 0.5 and 0.5:0.95, the curve at 0.5, and precision and recall at the model's threshold.

    A face smaller than `smallest`, and a region marked to ignore, is neither asked for nor a false alarm.
    """
    skipped: list[str] = []
    looked = see(detector, track(examples), frame, smallest, skipped)
    seen = [replace(s, frame=s.frame[:0]) for s in looked]  # the pixels are not needed any more
    faces = sum(len(s.boxes) for s in seen)
    if not faces:
        raise DataError(f"no face of {smallest:g} px or more in {len(seen)} pictures; there is nothing to score")
    precision, scores = _coco(seen)
    threshold = detector.spec.threshold
    right, called = _matches(seen, threshold)
    return {
        "ap50": round(float(precision[0].mean()), 4),
        "ap": round(float(precision.mean()), 4),
        "images": len(seen),
        "faces": faces,
        "skipped": skipped,
        "frame": [frame[1], frame[0]],
        "min_face": smallest,
        "threshold": threshold,
        "precision": round(right / max(called, 1), 4),
        "recall": round(right / faces, 4),
        "curve": {
            "recall": np.linspace(0, 1, 101).round(2).tolist(),
            "precision": precision[0].round(4).tolist(),
            "score": scores.round(4).tolist(),
        },
    }


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


def matched(seen: Seen, threshold: float) -> tuple[list[Face], list[Face], list[int]]:
    """Right detections, false alarms, and indices of missed faces at IoU 0.5, from the detections that count."""
    left = set(range(len(seen.boxes)))
    right: list[Face] = []
    wrong: list[Face] = []
    for face in (f for f in seen.found if f.score >= threshold):
        box = np.array(face.box, np.float32)
        overlaps = {n: iou(box, seen.boxes[n]) for n in left}
        best = max(overlaps, key=overlaps.__getitem__, default=-1)
        if best >= 0 and overlaps[best] >= 0.5:
            left.remove(best)
            right.append(face)
        elif not any(inside(box, region) >= 0.5 for region in seen.ignore):
            wrong.append(face)
    return right, wrong, sorted(left)


def _matches(seen: list[Seen], threshold: float) -> tuple[int, int]:
    """Right detections, and detections that count, over all pictures."""
    counts = [(len(right), len(right) + len(wrong)) for right, wrong, _ in (matched(s, threshold) for s in seen)]
    return sum(c[0] for c in counts), sum(c[1] for c in counts)


def _shared(a: Boxes, b: Boxes) -> float:
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    return float(sides[0] * sides[1])


def iou(a: Boxes, b: Boxes) -> float:
    """Intersection over union of two boxes (4,)."""
    shared = _shared(a, b)
    return shared / max(float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared, 1e-9)


def inside(box: Boxes, region: Boxes) -> float:
    """Share of the box (4,) that lies in the region (4,)."""
    return _shared(box, region) / max(float(np.prod(box[2:] - box[:2])), 1e-9)


@dataclass(frozen=True)
class Named:
    """One portrait after classification."""

    portrait: Portrait
    answer: Sentiment


def name(sentiment: Loaded, portraits: Iterable[Portrait], skipped: list[str]) -> Iterator[Named]:
    """Run the classifier on each readable portrait; names of the others go to `skipped`."""
    for portrait in portraits:
        try:
            image = read_image(portrait.path)
        except DataError as error:
            skipped.append(str(error))
            continue
        yield Named(portrait, classify(image, face_box(image, sentiment.spec.margin), sentiment))


def score_sentiment(
    sentiment: Loaded, portraits: Sequence[Portrait], by_votes: bool = False, track: Track = iter
) -> dict[str, Any]:
    """Accuracy, balanced accuracy, precision, recall and F1 a class, and the confusion matrix (rows are the truth).

    They take the most likely label of every face, sure or not; "unsure_rate" and "accuracy_when_sure" say what the
    threshold does. Faces of other folders are counted apart: "others_called" is the share of them that gets a label.
    `by_votes` takes the voters' majority for the truth, instead of the folder, and leaves out where it is not clear.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    skipped: list[str] = []
    named = list(name(sentiment, track(portraits), skipped))
    labels = sentiment.spec.answers
    truths, ours, others = _truths(named, len(labels), by_votes)
    best = np.array([n.answer.best for n in named], int)
    sure = np.array([n.answer.label != UNSURE for n in named], bool)
    classes = list(range(len(labels)))
    precision, recall, f1, support = precision_recall_fscore_support(
        truths[ours], best[ours], labels=classes, zero_division=0
    )
    present = support > 0
    both = ours & sure
    return {
        "accuracy": round(float((truths == best)[ours].mean()), 4),
        "balanced_accuracy": round(float(recall[present].mean()), 4),
        "recall": _by_class(labels, recall),
        "precision": _by_class(labels, precision),
        "f1": _by_class(labels, f1),
        "confusion": confusion_matrix(truths[ours], best[ours], labels=classes).tolist(),
        "labels": list(labels),
        "images": int(ours.sum()),
        "threshold": sentiment.spec.threshold,
        "unsure_rate": round(float((~sure)[ours].mean()), 4),
        "accuracy_when_sure": round(float((truths == best)[both].mean()), 4) if both.any() else None,
        "others": int(others.sum()),
        "others_called": round(float(sure[others].mean()), 4) if others.any() else None,
        "skipped": skipped,
    }


def _truths(
    named: Sequence[Named], answers: int, by_votes: bool
) -> tuple[NDArray[np.int_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Each portrait's true class, whether it is one of the answers, and whether its folder is none of them.

    Raises DataError when there is none to score.
    """
    folders = np.array([n.portrait.label for n in named], int)
    truths = np.array([n.portrait.voted for n in named], int) if by_votes else folders
    ours = (truths >= 0) & (truths < answers)
    if not ours.any():
        raise DataError(f"none of {len(named)} pictures is of a class that the model knows")
    return truths, ours, ~ours & ((folders < 0) | (folders >= answers))


def best_certainty(named: Sequence[Named], answers: int) -> float:
    """The threshold that serves best: a right answer counts 1, a wrong one -2, one to a face of no class -1.

    Each as a share of its faces, so that the mix of the pictures does not decide. `answers` is the number of classes
    that are answers.
    """
    labels = np.array([n.portrait.label for n in named], int)
    scores = np.array([n.answer.score for n in named])
    ours = (labels >= 0) & (labels < answers)
    right = ours & (labels == np.array([n.answer.best for n in named], int))

    def value(threshold: float) -> float:
        said = scores >= threshold
        called = said[~ours].mean() if (~ours).any() else 0.0
        return float((said & right).sum() / ours.sum() - 2 * (said & ours & ~right).sum() / ours.sum() - called)

    return float(max(np.arange(30, 96) / 100, key=value))


def _by_class(labels: tuple[str, ...], values: NDArray[np.float64]) -> dict[str, float]:
    return {label: round(float(value), 4) for label, value in zip(labels, values, strict=True)}
