"""TODO docstring."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import MANIFEST_NAME
from pocketsight.train.console import log_message, scoring_progress, suggest_next
from pocketsight.train.evaluation import classifier, detector, evaluate, plots, threshold_choice
from pocketsight.train.run_folder import HISTORY_FILE, as_model, load_run


def finish_detector(folder: Path, batches: Any, val: Sequence[Any]) -> None:
    """Choose the threshold with the best F1 on the validation part, score at it, draw, say what comes next."""
    net, spec = load_run(folder)
    try:
        results = detector.run_detector(as_model(net, spec), val, progress=scoring_progress)
    except DataError as error:  # a validation part without a face that counts
        log_message(f"not scored: {error}")
        plots.plot_loss_curves(folder / HISTORY_FILE, folder / "curves.png")
        plots.draw_detection_batch(batches, folder / "samples.png")
        return _suggest_export(folder)
    spec = replace(
        spec,
        score_threshold=threshold_choice.best_f1_threshold(
            detector.compute_detector_metrics(results, spec.score_threshold)["curve"]
        ),
    )
    (folder / MANIFEST_NAME).write_text(spec.to_json())
    scores = evaluate.detector_scores(results, spec.score_threshold)
    _write_scores(folder, scores)
    plots.draw_detection_batch(batches, folder / "samples.png")
    evaluate.write_detector_plots(results, scores, folder)
    at = (
        f"at threshold {spec.score_threshold:.2f} precision {scores['precision']:.3f} and recall {scores['recall']:.3f}"
    )
    log_message(f"validation: AP50 {scores['ap50']:.3f}, {at}")
    _suggest_export(folder)


def finish_classifier(folder: Path, batches: Any, val: Sequence[Any]) -> None:
    """Choose the threshold that serves best on the validation part, score at it, draw, say what comes next."""
    net, spec = load_run(folder)
    skipped: list[str] = []
    predictions = list(classifier.iter_predictions(as_model(net, spec), scoring_progress(val), skipped))
    outcomes = classifier.compare_with_truth(predictions, len(spec.reported_labels))
    spec = replace(spec, score_threshold=threshold_choice.auto_threshold(outcomes, spec.score_threshold)["threshold"])
    (folder / MANIFEST_NAME).write_text(spec.to_json())
    scores = evaluate.classifier_scores(predictions, outcomes, spec) | {"skipped": skipped}
    _write_scores(folder, scores)
    plots.draw_classification_batch(batches, folder / "samples.png")
    evaluate.write_classifier_plots(predictions, outcomes, scores, folder)
    unsure = f"unsure {scores['unsure_rate']:.1%}"
    log_message(f"validation: accuracy {scores['accuracy']:.1%}, balanced {scores['balanced_accuracy']:.1%}, {unsure}")
    _suggest_export(folder)


def _write_scores(folder: Path, scores: dict[str, Any]) -> None:
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    plots.plot_loss_curves(folder / HISTORY_FILE, folder / "curves.png")


def _suggest_export(folder: Path) -> None:
    drawn = ", ".join(sorted(path.name for path in folder.glob("*.png")))
    log_message(f"look at {drawn} and {evaluate.ERRORS_PAGE} in {folder}")
    suggest_next("export", "tflite", folder, "--calibration-data", "DATA")
