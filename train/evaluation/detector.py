"""Evaluate a detector with the board's own `detect`: a Keras network or a .tflite file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.console import ProgressFn
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.evaluation.compact import FaceArray, FalsePositives, of_label
from pocketsight.train.evaluation.matching import ImageResult, Match, collect_matches
from pocketsight.train.evaluation.metrics import FloatArray, coco_precision, precision_recall_at
from pocketsight.train.evaluation.reports import DetectorMetrics

MIN_SCORE = 0.02  # lowest score of a detection that counts for the curve
MAX_DETECTIONS = 100  # in an image, the best ones, as in COCO's evaluation; in crowds 3 for each labeled object
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
    labels: tuple[str, ...] = ("face",)  # of the detector
    by_label: dict[str, DetectionResults] = field(default_factory=dict)  # the same for each label, if there are several

    @property
    def noun(self) -> str:
        """What the detector finds, for reports: "faces" or "objects"."""
        return plural_noun(self.labels)


def plural_noun(labels: Sequence[str]) -> str:
    """What a detector of these labels finds, for reports: "faces" or "objects"."""
    return "faces" if tuple(labels) == ("face",) else "objects"


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
        labels = detector.spec.labels
        found = detect(image, detector, score_threshold=MIN_SCORE)
        detections = FaceArray(found[: max(MAX_DETECTIONS * len(labels), 3 * len(boxes))], labels)
        truth = tuple(labels[kind] for kind in sample.kind_array[counts]) if len(labels) > 1 else ()
        facts = scale, sample.source, mask_states, truth
        yield ImageResult(sample.path, boxes[counts], ignored, detections, *facts), image


def run_detector(
    detector: Model,
    samples: Sequence[DetectionSample],
    frame_size: tuple[int, int] = DETECTOR_FRAME_SIZE,
    min_face_size: float = MIN_FACE_SIZE,
    progress: ProgressFn = iter,
) -> DetectionResults:
    """Run the detector once on every image. Raises DataError when no object counts.

    Objects below `min_face_size` px and regions marked to ignore are neither missed faces nor false positives.
    """
    labels = detector.spec.labels
    skipped: list[str] = []
    parts = [
        DetectionResults([], [], FalsePositives(), skipped, frame_size, min_face_size, (label,)) for label in labels
    ]
    images = []
    for result, frame in iter_results(detector, progress(samples), frame_size, min_face_size, skipped):
        images.append(result)
        for label, part in zip(labels, parts, strict=True):
            own = of_label(result, label) if len(labels) > 1 else result
            faces, wrong = collect_matches(own, frame)
            part.images.append(own)
            part.faces.extend(faces)
            part.false_positives.extend(own, wrong)
    if not any(part.faces for part in parts):
        raise DataError(
            f"no {plural_noun(labels)[:-1]} of {min_face_size:g} px or more in {len(images)} images; there is nothing "
            "to score"
        )
    return join_labels(dict(zip(labels, parts, strict=True)), images) if len(labels) > 1 else parts[0]


def join_labels(by_label: dict[str, DetectionResults], images: list[ImageResult]) -> DetectionResults:
    """The results of all labels together. `images` have the boxes of all."""
    parts = list(by_label.values())
    together = FalsePositives()
    together.parts = [part for each in parts for part in each.false_positives.parts]
    faces = [face for part in parts for face in part.faces]
    return replace(
        parts[0],
        images=images,
        faces=faces,
        false_positives=together,
        labels=tuple(by_label),
        by_label=by_label,
    )


def evaluate_detector(
    detector: Model,
    samples: Sequence[DetectionSample],
    frame_size: tuple[int, int] = DETECTOR_FRAME_SIZE,
    min_face_size: float = MIN_FACE_SIZE,
    progress: ProgressFn = iter,
) -> DetectorMetrics:
    """Run the detector on the images, and measure at the model's threshold. Raises DataError as `run_detector`."""
    results = run_detector(detector, samples, frame_size, min_face_size, progress)
    return compute_detector_metrics(results, detector.spec.score_threshold, detector.spec.thresholds)


def compute_detector_metrics(
    results: DetectionResults, threshold: float, thresholds: Mapping[str, float] | None = None
) -> DetectorMetrics:
    """AP at IoU 0.5 and 0.5:0.95, the curve at 0.5, and precision and recall at the threshold and at others.

    With several labels AP and the curve are means over the labels that the images have, as in COCO's evaluation.
    Precision and recall are those of all detections, each at the threshold of its label in `thresholds`, or at
    `threshold`.
    """
    parts = [part for part in results.by_label.values() if part.faces] or [results]
    curves = [coco_precision(part.images) for part in parts]
    precision, scores = (np.mean([curve[n] for curve in curves], axis=0) for n in (0, 1))
    here = _precision_recall_here(results, threshold, thresholds or {})
    tradeoff = precision_recall_at(match_scores(results.faces), results.false_positives.scores(), REPORTED_THRESHOLDS)
    return {
        "labels": list(results.labels),
        "ap50": round(float(precision[0].mean()), 4),
        "ap": round(float(precision.mean()), 4),
        "images": len(results.images),
        "faces": len(results.faces),
        "skipped": results.skipped,
        "frame": [results.frame_size[1], results.frame_size[0]],
        "min_face_size": results.min_face_size,
        "threshold": threshold,
        "precision": round(here[0], 4),
        "recall": round(here[1], 4),
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


def _precision_recall_here(
    results: DetectionResults, threshold: float, thresholds: Mapping[str, float]
) -> tuple[float, float]:
    right = wrong = 0
    for label, part in (results.by_label or {"": results}).items():
        limit = thresholds.get(label, threshold)
        right += int((match_scores(part.faces) >= limit).sum())
        wrong += int((part.false_positives.scores() >= limit).sum())
    return right / max(right + wrong, 1), right / max(len(results.faces), 1)


def match_scores(matches: Iterable[Match]) -> FloatArray:
    """(N,): the scores of the matches; 0 for a missed face."""
    return np.fromiter((match.score for match in matches), np.float64)
