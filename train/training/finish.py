"""After a training: choose the threshold, score the validation split, draw, and suggest the next command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import MANIFEST_NAME
from pocketsight.device.system.atomic_files import write_json
from pocketsight.train.console import log_message, scoring_progress, suggest_next
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.evaluation import classifier, detector, evaluate, plots, threshold_choice
from pocketsight.train.evaluation.formatting import format_accuracy
from pocketsight.train.evaluation.reports import ClassifierScores, DetectorScores
from pocketsight.train.run_folder import HISTORY_FILE, SCORES_FILE, as_model, load_run

SPLIT = "val"


def finish_detector(folder: Path, val: Sequence[DetectionSample]) -> None:
    """Choose the threshold with the best F1 on the validation split, and write scores and images into the run folder.

    `val` is the validation split.
    """
    net, spec = load_run(folder)
    plots.plot_loss_curves(folder / HISTORY_FILE, folder / "curves.png")
    try:
        results = detector.run_detector(as_model(net, spec), val, progress=scoring_progress)
    except DataError as error:  # no face in the validation split counts
        log_message(f"not scored: {error}")
        return _suggest_export(folder)
    spec = spec.with_thresholds(threshold_choice.best_f1_thresholds(results))
    (folder / MANIFEST_NAME).write_text(spec.to_json())
    scores = evaluate.detector_scores(results, spec.score_threshold, spec.thresholds)
    _write_scores(folder, scores)
    evaluate.write_detector_plots(results, scores, folder)
    log_message(
        f"validation: AP50 {scores['ap50']:.3f}, at threshold {spec.score_threshold:.2f} precision "
        f"{scores['precision']:.3f} and recall {scores['recall']:.3f}"
    )
    _suggest_export(folder)


def finish_classifier(folder: Path, val: Sequence[ClassificationSample]) -> None:
    """Choose the default threshold on the validation split, and write scores and images into the run folder.

    `val` is the validation split.
    """
    net, spec = load_run(folder)
    plots.plot_loss_curves(folder / HISTORY_FILE, folder / "curves.png")
    skipped: list[str] = []
    predictions = list(classifier.iter_predictions(as_model(net, spec), scoring_progress(val), skipped))
    outcomes = classifier.compare_with_truth(predictions, len(spec.reported_labels))
    spec = replace(spec, score_threshold=threshold_choice.auto_threshold(outcomes, spec.score_threshold)["threshold"])
    (folder / MANIFEST_NAME).write_text(spec.to_json())
    scores = evaluate.classifier_scores(predictions, outcomes, spec)
    scores["skipped"] = skipped
    _write_scores(folder, scores)
    evaluate.write_classifier_plots(predictions, outcomes, scores, folder)
    log_message(f"validation: {format_accuracy(scores)}, unsure {scores['unsure_rate']:.1%}")
    _suggest_export(folder)


def _write_scores(folder: Path, scores: DetectorScores | ClassifierScores) -> None:
    scores["split"] = SPLIT
    write_json(folder / SCORES_FILE, scores)


def _suggest_export(folder: Path) -> None:
    images = ", ".join(sorted(path.name for path in folder.glob("*.png")))
    log_message(f"see {images} and {evaluate.ERRORS_PAGE} in {folder}")
    suggest_next("export", "tflite", folder, "--calibration-data", "DATA")
