"""Metrics and images of the validation split during a training, from the code that scores it at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.evaluation import classifier, detector, plots
from pocketsight.train.evaluation.classifier import Prediction
from pocketsight.train.evaluation.compact import of_label
from pocketsight.train.evaluation.matching import FALSE_POSITIVE, ImageResult, match_detections
from pocketsight.train.evaluation.metrics import FloatArray, average_precision, precision_recall_at
from pocketsight.train.keras_backend import keras
from pocketsight.train.run_folder import as_model

MAX_FRAMES, MAX_CROPS = 100, 200  # images of the validation split: of a detector, of a classifier
SHEET_FRAMES, SHEET_CROPS = 12, 48  # images on a sheet

# A network -> metrics by name, and sheets of images by name. Raises DataError when no image has what is scored.
FiguresFn = Callable[[keras.Model], tuple[Mapping[str, float], Mapping[str, Image]]]


@dataclass(frozen=True, kw_only=True)
class FrameSample(DetectionSample):
    """A sample whose image, letterboxed to a frame, stays in memory."""

    frame: Image

    def read(self, jpeg_reduction: int = 1) -> Image:
        return self.frame


def _read_frames(samples: Sequence[DetectionSample]) -> list[FrameSample]:
    """The readable ones of some samples as frames."""
    frames = []
    for sample in samples:
        try:
            frame, scale = letterbox(sample.read(), detector.DETECTOR_FRAME_SIZE)
        except DataError:
            continue
        boxes, ignored = sample.boxes * np.float32(scale), sample.ignored_boxes * np.float32(scale)
        frames.append(
            FrameSample(sample.path, boxes, ignored, mask_states=sample.mask_states, kinds=sample.kinds, frame=frame)
        )
    return frames


def detector_figures(val: Sequence[DetectionSample], spec: ModelSpec) -> FiguresFn:
    """AP50 of some images, precision and recall at the threshold of the best F1, and sheets of images."""
    frames = cache(lambda: _read_frames(plots.spread(val, MAX_FRAMES)))

    def figures(net: keras.Model) -> tuple[Mapping[str, float], Mapping[str, Image]]:
        size, min_face_size = detector.DETECTOR_FRAME_SIZE, detector.MIN_FACE_SIZE
        seen = list(detector.iter_results(as_model(net, spec), frames(), size, min_face_size, []))
        results = [result for result, _ in seen]
        found, wrong = _match_scores(results)
        labels = [label for label in spec.labels if any(label in result.truth_labels for result in results)]
        own = [[of_label(result, label) for result in results] for label in labels if len(spec.labels) > 1]
        precision, recall, _ = precision_recall_at(found, wrong, detector.REPORTED_THRESHOLDS)
        best = int(np.argmax(precision * recall / np.maximum(precision + recall, 1e-9)))
        ap50 = float(np.mean([average_precision(*_match_scores(part)) for part in own or [results]]))
        values = {"ap50": ap50, "precision": float(precision[best]), "recall": float(recall[best])}
        pixels = {result.path: frame for result, frame in seen}
        return values, detection_images(results, float(detector.REPORTED_THRESHOLDS[best]), pixels)

    return figures


def _match_scores(results: Sequence[ImageResult]) -> tuple[FloatArray, FloatArray]:
    """The score of each face, 0 for a missed one, and those of the false positives. Raises DataError without a face.

    Not `run_detector`: it measures each match, of which a new network has thousands.
    """
    found: list[float] = []
    wrong: list[float] = []
    for result in results:
        faces = dict.fromkeys(range(len(result.truth_boxes)), 0.0)
        for (n, _), face in zip(match_detections(result), result.detections, strict=True):
            if n >= 0:
                faces[n] = face.score
            elif n == FALSE_POSITIVE:
                wrong.append(face.score)
        found += faces.values()
    if not found:
        raise DataError("no face counts")
    return np.array(found), np.array(wrong)


def detection_images(
    results: Sequence[ImageResult], threshold: float, pixels: Mapping[Path, Image]
) -> dict[str, Image]:
    """Sheets by name: images with faces, and those with the most errors. `pixels` are the frames by path."""
    chosen = {
        "detections": plots.spread([result for result in results if len(result.truth_boxes)], SHEET_FRAMES),
        "failures": plots.detection_failures(results, threshold, SHEET_FRAMES),
    }
    size = detector.DETECTOR_FRAME_SIZE
    return {tag: plots.detection_sheet(some, size, threshold, 4, pixels) for tag, some in chosen.items() if some}


def classifier_figures(val: Sequence[ClassificationSample], spec: ModelSpec) -> FiguresFn:
    """Accuracy and balanced accuracy of some faces, and sheets of faces."""

    def figures(net: keras.Model) -> tuple[Mapping[str, float], Mapping[str, Image]]:
        predictions = list(classifier.iter_predictions(as_model(net, spec), plots.spread(val, MAX_CROPS), []))
        outcomes = classifier.compare_with_truth(predictions, len(spec.reported_labels))
        metrics = classifier.compute_classifier_metrics(outcomes, spec)
        values = {"accuracy": metrics["accuracy"], "balanced_accuracy": metrics["balanced_accuracy"]}
        return values, prediction_images(predictions, spec.reported_labels, spec.score_threshold)

    return figures


def prediction_images(predictions: Sequence[Prediction], labels: Sequence[str], threshold: float) -> dict[str, Image]:
    """Sheets by name: faces of the reported classes, and those with a wrong label."""
    known = [prediction for prediction in predictions if 0 <= prediction.sample.label < len(labels)]
    chosen = {
        "predictions": plots.spread(known, SHEET_CROPS),
        "failures": plots.prediction_failures(known, SHEET_CROPS),
    }
    return {tag: plots.prediction_sheet(some, labels, threshold) for tag, some in chosen.items() if some}
