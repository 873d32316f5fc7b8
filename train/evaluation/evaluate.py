"""`pocketsight evaluate`: open a model, run it once on the labeled images, and report its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError, ModelError
from pocketsight.device.inference.interpreter import Model, TfliteModel
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.train.console import scoring_progress
from pocketsight.train.datasets.classification import read_classification_dataset
from pocketsight.train.datasets.detection import read_samples_for
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.datasets.face_alignment import apply_training_alignment
from pocketsight.train.evaluation import classifier, classifier_errors, detector, pipeline, threshold_choice
from pocketsight.train.evaluation import plots as figures
from pocketsight.train.evaluation.classifier import Outcomes, Prediction
from pocketsight.train.evaluation.confusion import (
    confusion_matrix,
    folder_name,
    keep_reported,
    write_confusion_page,
)
from pocketsight.train.evaluation.detector_errors import write_detector_errors
from pocketsight.train.evaluation.pipeline_errors import write_pipeline_errors
from pocketsight.train.evaluation.reports import (
    ClassifierScores,
    DetectorScores,
    LikelyMislabeled,
    PipelineScores,
    Scores,
    ThresholdChoice,
)
from pocketsight.train.evaluation.slices import recommendations, slice_metrics

# The first split with images is used. A threshold chosen on the test split would invalidate the test.
EVALUATION_SPLITS = "test", "val", "train"
THRESHOLD_SPLITS = "val", "test", "train"
ERRORS_PAGE = "errors.html"


def open_model(path: Path) -> Model:
    """Open a run folder with Keras, or a .tflite file with the interpreter. Raises ModelError."""
    if path.is_dir():
        from pocketsight.train.run_folder import as_model, load_run  # imports Keras, which takes seconds

        return as_model(*load_run(path))
    flatbuffer, spec = read_model_file(path)
    return Model(TfliteModel(flatbuffer, 1, path, spec), spec)


def evaluate_model(
    path: Path,
    data: Sequence[Path],
    frame_size: tuple[int, int] | None,
    min_face_size: float,
    soft_labels: Sequence[Path],
    plots: Path | None,
    target: str | None,
    face_detector: Path | None = None,
) -> DetectorScores | ClassifierScores:
    """Scores of one model of either task. The options are those of `pocketsight evaluate`.

    `face_detector` finds the faces in the images of a classifier. Raises DataError or ModelError.
    """
    model = open_model(path)
    if model.spec.task == "detector":
        if face_detector:
            raise DataError(f"{path} is a detector itself; --detector is for classifiers and the pipeline")
        frame_size = frame_size or detector.DETECTOR_FRAME_SIZE
        return detector_report(model, data, frame_size, min_face_size, plots, target)
    return classifier_report(model, data, soft_labels, plots, target, face_detector)


def detector_report(
    model: Model,
    data: Sequence[Path],
    frame_size: tuple[int, int],
    min_face_size: float,
    plots: Path | None = None,
    target_text: str | None = None,
) -> DetectorScores:
    """Scores of a detector, at the threshold that meets the target if there is one. Writes plots into `plots`."""
    target = threshold_choice.parse_target(target_text, "detector") if target_text else None
    order = THRESHOLD_SPLITS if target else EVALUATION_SPLITS
    split, samples = detection_samples(data, order, model.spec.labels)
    results = detector.run_detector(model, samples, frame_size, min_face_size, scoring_progress)
    spec = model.spec
    choices = threshold_choice.choose_by_label(target, results, spec) if target else {}
    if choices:
        thresholds = dict(zip(spec.labels, spec.label_thresholds, strict=True))
        spec = spec.with_thresholds(thresholds | {label: each["threshold"] for label, each in choices.items()})
    scores = detector_scores(results, spec.score_threshold, spec.thresholds)
    scores["split"] = split
    if choices and len(spec.labels) == 1:
        scores["threshold_choice"] = choices[spec.labels[0]]
    elif choices:
        scores["threshold_choices"] = choices
    if plots:
        _make_folder(plots)
        write_detector_plots(results, scores, plots)
    return scores


def threshold_choices(scores: Scores) -> dict[str, ThresholdChoice]:
    """The choices of a report by label, as `write_threshold` takes them."""
    if choice := scores.get("threshold_choice"):
        return {scores["labels"][0] if scores["task"] == "detector" else "": choice}
    return scores.get("threshold_choices", {})


def detection_samples(
    data: Sequence[Path], order: Sequence[str], labels: tuple[str, ...]
) -> tuple[str, Sequence[DetectionSample]]:
    """The samples of all data sets for these labels, each with its source, and the split of the last one."""
    samples: list[DetectionSample] = []
    split = order[0]
    for path in data:
        splits = read_samples_for(path, labels).splits
        split = first_split(splits, order)
        if len(data) == 1:
            return split, splits[split]
        samples += [replace(sample, source=sample.source or path.stem) for sample in splits[split]]
    return split, samples


def detector_scores(
    results: detector.DetectionResults, threshold: float, thresholds: Mapping[str, float] | None = None
) -> DetectorScores:
    """Metrics of all objects, those of slices of them, and what to collect next.

    With several labels the slices and the advice are those of each label, at its own threshold in `thresholds`.
    """
    if not results.by_label:
        tables = slice_metrics(results, threshold)
        return {
            "task": "detector",
            **detector.compute_detector_metrics(results, threshold),
            "slices": tables,
            "recommendations": recommendations(results, threshold, tables),
        }
    limits = dict.fromkeys(results.labels, threshold) | dict(thresholds or {})
    by_label = {label: detector_scores(part, limits[label]) for label, part in results.by_label.items() if part.faces}
    scores = DetectorScores(
        task="detector",
        **detector.compute_detector_metrics(results, threshold, limits),
        slices={},
        recommendations=[f"{label}: {line}" for label, own in by_label.items() for line in own["recommendations"]],
    )
    scores["by_label"] = by_label
    scores["confusion"] = confusion_matrix(results.images, results.labels, limits).tolist()
    return scores


def write_detector_plots(results: detector.DetectionResults, scores: DetectorScores, folder: Path) -> None:
    """Write the plots and errors.html of a detector into an existing folder; those of each of several labels into it.

    The folder of a label has its name.
    """
    if by_label := scores.get("by_label", {}):
        for label, own in by_label.items():
            _make_folder(folder / folder_name(label))
            write_detector_plots(results.by_label[label], own, folder / folder_name(label))
        write_confusion_page(results, scores, folder / ERRORS_PAGE)
        thresholds = {label: own["threshold"] for label, own in by_label.items()}
        reported = [keep_reported(image, thresholds) for image in results.images]
        figures.plot_precision_recall(scores, folder / "precision_recall.png")
        figures.draw_detections(reported, results.frame_size, 0.0, folder / "detections.png")
        figures.draw_detection_failures(reported, results.frame_size, 0.0, folder / "failures.png")
        return
    figures.plot_precision_recall(scores, folder / "precision_recall.png")
    figures.plot_detector_thresholds(scores, folder / "threshold.png")
    figures.draw_detections(results.images, results.frame_size, scores["threshold"], folder / "detections.png")
    figures.draw_detection_failures(results.images, results.frame_size, scores["threshold"], folder / "failures.png")
    write_detector_errors(results, scores, "Errors of the detector", folder / ERRORS_PAGE)


def classifier_report(
    model: Model,
    data: Sequence[Path],
    soft_labels: Sequence[Path],
    plots: Path | None = None,
    target_text: str | None = None,
    face_detector: Path | None = None,
) -> ClassifierScores:
    """Scores of a classifier, at the threshold that meets the target if there is one. Writes plots into `plots`."""
    target = threshold_choice.parse_target(target_text, "classifier") if target_text else None
    spec = model.spec
    reported, rejects = spec.reported_labels, spec.labels[len(spec.reported_labels) :]
    splits = read_classification_dataset(
        list(data), list(soft_labels), reported, default_split="test", known_rejects=rejects
    ).splits
    split = first_split(splits, THRESHOLD_SPLITS if target else EVALUATION_SPLITS)
    skipped: list[str] = []
    samples = apply_training_alignment(splits[split], spec, face_detector)
    predictions = list(classifier.iter_predictions(model, scoring_progress(samples), skipped))
    outcomes = classifier.compare_with_truth(predictions, len(reported), bool(soft_labels))
    choice = None
    if target:
        choice = threshold_choice.choose_classifier_threshold(target, outcomes, spec.score_threshold)
        spec = replace(spec, score_threshold=choice["threshold"])
    scores = classifier_scores(predictions, outcomes, spec)
    scores["split"], scores["skipped"] = split, skipped
    if choice:
        scores["threshold_choice"] = choice
    if plots:
        _make_folder(plots)
        write_classifier_plots(predictions, outcomes, scores, plots)
    return scores


def classifier_scores(predictions: Sequence[Prediction], outcomes: Outcomes, spec: ModelSpec) -> ClassifierScores:
    """Metrics of all faces, what to collect next, and labels to check."""
    labels = spec.reported_labels
    pairs = classifier_errors.confused_pairs(predictions, outcomes, labels)
    mislabeled = classifier_errors.likely_mislabeled(predictions, outcomes)
    return {
        "task": "classifier",
        **classifier.compute_classifier_metrics(outcomes, spec),
        "recommendations": [classifier_errors.recommendation(pairs, outcomes, spec.score_threshold)],
        "likely_mislabeled": [_mislabeled_entry(predictions[n], labels) for n in mislabeled],
    }


def _mislabeled_entry(prediction: Prediction, labels: Sequence[str]) -> LikelyMislabeled:
    path, found = prediction.sample.path, prediction.classification
    return {
        "file": str(path),
        "folder": path.parent.name,
        "predicted": labels[found.best_index],
        "score": round(found.score, 3),
    }


def write_classifier_plots(
    predictions: Sequence[Prediction], outcomes: Outcomes, scores: ClassifierScores, folder: Path
) -> None:
    """Write the plots and errors.html of a classifier into an existing folder."""
    figures.plot_confusion_matrix(scores, folder / "confusion.png")
    figures.plot_classifier_thresholds(scores, folder / "threshold.png")
    figures.plot_calibration(outcomes, folder / "calibration.png")
    known = [p for p in predictions if 0 <= p.sample.label < len(scores["labels"])]
    figures.draw_predictions(known, scores["labels"], scores["threshold"], folder / "predictions.png")
    figures.draw_prediction_failures(known, scores["labels"], scores["threshold"], folder / "failures.png")
    classifier_errors.write_classifier_errors(
        predictions, outcomes, scores, "Errors of the classifier", folder / ERRORS_PAGE
    )


def pipeline_report(
    models: Sequence[Path], data: Sequence[Path], frame_size: tuple[int, int] | None = None, plots: Path | None = None
) -> PipelineScores:
    """Scores of a detector and a classifier together on whole photographs in class folders.

    Raises ModelError when a model has the wrong task, DataError when there is nothing to score.
    """
    frame_size = frame_size or pipeline.PIPELINE_FRAME_SIZE
    opened = [open_model(path) for path in models]
    for path, model, task in zip(models, opened, ("detector", "classifier"), strict=True):
        if model.spec.task != task:
            raise ModelError(f"{path} is a {model.spec.task} model; use a {task} model")
    labels = opened[1].spec.reported_labels
    splits = read_classification_dataset(list(data), [], labels, default_split="test").splits
    split = first_split(splits, EVALUATION_SPLITS)
    skipped: list[str] = []
    samples = scoring_progress(splits[split])
    results = list(pipeline.iter_pipeline_results(opened[0], opened[1], samples, frame_size, skipped))
    scores: PipelineScores = {
        "task": "pipeline",
        "frame": [frame_size[1], frame_size[0]],
        **pipeline.compute_pipeline_metrics(results, labels),
    }
    scores["split"], scores["skipped"] = split, skipped
    if plots:
        _make_folder(plots)
        write_pipeline_errors(results, opened[1].spec, frame_size, plots / ERRORS_PAGE)
    return scores


def first_split(splits: Mapping[str, Sequence[Any]], order: Sequence[str]) -> str:
    """The first split with images. Raises DataError when all are empty."""
    found = next((name for name in order if splits.get(name)), None)
    if not found:
        raise DataError("the data has no images to score")
    return found


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be created: {error.strerror}") from error
