"""`pocketsight evaluate`: open a model, run it once on the labelled pictures, and say in words how good it is."""

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
from pocketsight.train.datasets.detection import DetectionSample, read_detection_dataset
from pocketsight.train.datasets.face_alignment import apply_training_alignment
from pocketsight.train.evaluation import classifier, classifier_errors, detector, pipeline, threshold_choice
from pocketsight.train.evaluation import plots as report
from pocketsight.train.evaluation.classifier import Outcomes, Prediction
from pocketsight.train.evaluation.detector_errors import write_detector_errors
from pocketsight.train.evaluation.slices import recommendations, slice_metrics, small_slices

EVALUATION_SPLITS = "test", "val", "train"  # that scores are made on, the first that there is
THRESHOLD_SPLITS = (
    "val",
    "test",
    "train",
)  # that a threshold is chosen on: what was chosen on the test part is no test any more
ERRORS_PAGE = "failures.html"


def open_model(path: Path) -> Model:
    """A run folder through Keras, a .tflite file through the interpreter. Raises ModelError."""
    if path.is_dir():
        from pocketsight.train.run_folder import as_model, load_run  # Keras only where it is needed

        return as_model(*load_run(path))
    flatbuffer, spec = read_model_file(path)
    return Model(TfliteModel(flatbuffer, threads=1, origin=path), spec)


def evaluate_model(
    path: Path,
    data: Sequence[Path],
    frame_size: tuple[int, int] | None,
    min_face_size: float,
    soft_labels: Sequence[Path],
    plots: Path | None,
    target_text: str | None,
    face_detector: Path | None = None,
) -> dict[str, Any]:
    """Scores of one model of either task. `finder` is the detector that finds the faces in portraits."""
    loaded = open_model(path)
    if loaded.spec.task == "detector":
        if face_detector:
            raise DataError(f"{path} is a detector itself; --detector is for classifiers and the pipeline")
        return detector_report(
            loaded, data, frame_size or detector.DETECTOR_FRAME_SIZE, min_face_size, plots, target_text
        )
    return classifier_report(loaded, data, soft_labels, plots, target_text, face_detector)


def detector_report(
    loaded: Model,
    data: Sequence[Path],
    frame_size: tuple[int, int],
    min_face_size: float,
    plots: Path | None = None,
    target_text: str | None = None,
) -> dict[str, Any]:
    """Scores of a detector, at the threshold that keeps the promise `asked` for, and its pictures in `plots`."""
    target = threshold_choice.parse_target(target_text, "detector") if target_text else None
    samples: list[DetectionSample] = []
    part = "test"
    for path in data:
        parts = read_detection_dataset(path).splits
        part = _first_split(parts, THRESHOLD_SPLITS if target else EVALUATION_SPLITS)
        source_name = path.stem if len(data) > 1 else ""
        samples += [replace(example, source=example.source or source_name) for example in parts[part]]
    results = detector.run_detector(loaded, samples, frame_size, min_face_size, scoring_progress)
    choice = (
        threshold_choice.choose_detector_threshold(target, results, loaded.spec.score_threshold) if target else None
    )
    threshold = choice["threshold"] if choice else loaded.spec.score_threshold
    scores = {"part": part, **detector_scores(results, threshold)} | ({"threshold_choice": choice} if choice else {})
    if plots:
        _make_folder(plots)
        write_detector_plots(results, scores, plots)
    return scores


def detector_scores(results: detector.DetectionResults, threshold: float) -> dict[str, Any]:
    """The figures of all faces and of their parts, and what to collect next."""
    tables = slice_metrics(results, threshold)
    return detector.compute_detector_metrics(results, threshold) | {
        "slices": tables,
        "advice": recommendations(results, threshold, tables),
    }


def write_detector_plots(results: detector.DetectionResults, scores: dict[str, Any], folder: Path) -> None:
    """The plots of a detector and its failures, into a folder that is there."""
    report.plot_precision_recall(scores, folder / "precision_recall.png")
    report.plot_detector_thresholds(scores, folder / "threshold.png")
    report.draw_detections(results.images, results.frame_size, scores["threshold"], folder / "found.png")
    write_detector_errors(
        results, scores, "What the detector did not find, and what it found wrongly", folder / ERRORS_PAGE
    )


def classifier_report(
    loaded: Model,
    data: Sequence[Path],
    soft_labels: Sequence[Path],
    plots: Path | None = None,
    target_text: str | None = None,
    face_detector: Path | None = None,
) -> dict[str, Any]:
    """Scores of a classifier, at the threshold that keeps the promise `asked` for, and its pictures in `plots`."""
    target = threshold_choice.parse_target(target_text, "classifier") if target_text else None
    known, silent = loaded.spec.reported_labels, loaded.spec.labels[len(loaded.spec.reported_labels) :]
    parts = read_classification_dataset(
        list(data), list(soft_labels), known, default_split="test", known_rejects=silent
    ).splits
    part = _first_split(parts, THRESHOLD_SPLITS if target else EVALUATION_SPLITS)
    skipped: list[str] = []
    samples = apply_training_alignment(parts[part], loaded.spec, face_detector)
    predictions = list(classifier.iter_predictions(loaded, scoring_progress(samples), skipped))
    outcomes = classifier.compare_with_truth(predictions, len(loaded.spec.reported_labels), bool(soft_labels))
    choice = (
        threshold_choice.choose_classifier_threshold(target, outcomes, loaded.spec.score_threshold) if target else None
    )
    spec = replace(loaded.spec, score_threshold=choice["threshold"]) if choice else loaded.spec
    scores = {"part": part, **classifier_scores(predictions, outcomes, spec), "skipped": skipped}
    scores |= {"threshold_choice": choice} if choice else {}
    if plots:
        _make_folder(plots)
        write_classifier_plots(predictions, outcomes, scores, plots)
    return scores


def classifier_scores(predictions: Sequence[Prediction], outcomes: Outcomes, spec: ModelSpec) -> dict[str, Any]:
    """The figures of all faces, what to collect next, and which labels to look at."""
    advice = classifier_errors.recommendation(
        classifier_errors.confused_pairs(predictions, outcomes, spec.reported_labels), outcomes, spec.score_threshold
    )
    mislabeled = [
        _mislabeled_entry(predictions[n], spec.reported_labels)
        for n in classifier_errors.likely_mislabeled(predictions, outcomes)
    ]
    return classifier.compute_classifier_metrics(outcomes, spec) | {"advice": [advice], "suspects": mislabeled}


def _mislabeled_entry(prediction: Prediction, labels: Sequence[str]) -> dict[str, Any]:
    path, answer = prediction.sample.path, prediction.classification
    return {
        "file": str(path),
        "folder": path.parent.name,
        "answer": labels[answer.best_index],
        "score": round(answer.score, 3),
    }


def write_classifier_plots(
    predictions: Sequence[Prediction], outcomes: Outcomes, scores: dict[str, Any], folder: Path
) -> None:
    """The plots of a classifier and its failures, into a folder that is there."""
    report.plot_confusion_matrix(scores, folder / "confusion.png")
    report.plot_classifier_thresholds(scores, folder / "threshold.png")
    report.plot_calibration(outcomes, folder / "calibration.png")
    ours = [face for face in predictions if 0 <= face.sample.label < len(scores["labels"])]
    report.draw_predictions(ours, scores["labels"], scores["threshold"], folder / "named.png")
    classifier_errors.write_classifier_errors(
        predictions, outcomes, scores, "Where the classifier was wrong", folder / ERRORS_PAGE
    )


def pipeline_report(
    models: Sequence[Path], data: Sequence[Path], frame_size: tuple[int, int] | None = None, plots: Path | None = None
) -> dict[str, Any]:
    """What detector and classifier together make of whole photographs in class folders."""
    frame_size = frame_size or pipeline.PIPELINE_FRAME_SIZE
    loaded = [open_model(path) for path in models]
    for path, one, task in zip(models, loaded, ("detector", "classifier"), strict=True):
        if one.spec.task != task:
            raise ModelError(f"{path} is a {one.spec.task} model, and a {task} model is needed here")
    labels = loaded[1].spec.reported_labels
    parts = read_classification_dataset(list(data), [], labels, default_split="test").splits
    part = _first_split(parts, EVALUATION_SPLITS)
    skipped: list[str] = []
    results = list(
        pipeline.iter_pipeline_results(loaded[0], loaded[1], parts[part], frame_size, skipped, scoring_progress)
    )
    scores = {
        "part": part,
        "frame": [frame_size[1], frame_size[0]],
        **pipeline.compute_pipeline_metrics(results, labels),
        "skipped": skipped,
    }
    if plots:
        _make_folder(plots)
        pipeline.write_pipeline_errors(results, loaded[1].spec, frame_size, plots / ERRORS_PAGE)
    return scores


def _first_split(splits: Mapping[str, Sequence[Any]], order: Sequence[str]) -> str:
    """The first part that holds pictures. Raises DataError."""
    found = next((name for name in order if splits.get(name)), None)
    if not found:
        raise DataError("the data holds no pictures to score on")
    return found


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror}") from error


def format_scores(scores: dict[str, Any]) -> str:
    """The scores for people."""
    if "classes" in scores:
        return pipeline.format_pipeline_scores(scores)
    lines = _format_detector_scores(scores) if "ap50" in scores else _format_classifier_scores(scores)
    lines += ["", *scores["advice"]]
    if scores["skipped"]:
        lines.append(f"{len(scores['skipped'])} pictures could not be read and were skipped")
    if "threshold_choice" in scores:
        lines += [
            "",
            *threshold_choice.format_choice(scores["threshold_choice"]),
            "  it was chosen on these pictures: score it on others before you quote it",
        ]
    return "\n".join(lines)


def _format_detector_scores(scores: dict[str, Any]) -> list[str]:
    width, height = scores["frame"]
    faces = f"{scores['faces']} faces of {scores['min_face']:g} px and more"
    lines = [
        f"{scores['images']} pictures of part {scores['part']}, fitted to {width}x{height}, {faces}",
        f"AP50          {scores['ap50']:.3f}",
        f"AP 0.5:0.95   {scores['ap']:.3f}",
        f"at threshold {scores['threshold']:.2f}: precision {scores['precision']:.3f}, recall {scores['recall']:.3f}",
        "",
        f"{'':26}{'faces':>7}{'AP50':>8}{'false':>7}{'precision':>11}{'recall':>8}  (95 %)",
    ]
    for kind, rows in scores["slices"].items():
        lines += [f"by {kind}", *(_format_slice(row) for row in rows)]
    few = small_slices(scores["slices"])
    return lines + ([f"too few to say: {', '.join(few)}"] if few else [])


def _format_slice(row: dict[str, Any]) -> str:
    ap50, precision, recall = (
        "-" if row[key] is None else f"{row[key]:.3f}" for key in ("ap50", "precision", "recall")
    )
    low, high = row["recall_95"]
    sure = "too few to say" if row["few"] else f"{low:.2f} to {high:.2f}"
    return f"  {row['slice']:24}{row['faces']:7}{ap50:>8}{row['false_alarms']:7g}{precision:>11}{recall:>8}  {sure}"


def _format_classifier_scores(scores: dict[str, Any]) -> list[str]:
    labels = scores["labels"]
    wide = max(len(label) for label in labels) + 2
    lines = [
        f"{scores['images']} faces of part {scores['part']}: accuracy {scores['accuracy']:.1%}, "
        f"balanced {scores['balanced_accuracy']:.1%}",
        f"at threshold {scores['threshold']:.2f}: {scores['unsure_rate']:.1%} unsure, "
        f"{scores['labeled_accuracy'] or 0:.1%} of the others right",
        f"{'':{wide}}{'precision':>10}{'recall':>10}{'F1':>10}   answers: {', '.join(labels)}",
    ]
    for row, label in enumerate(labels):
        numbers = "".join(f"{scores[kind][label]:10.3f}" for kind in ("precision", "recall", "f1"))
        lines.append(f"{label:{wide}}{numbers}   {', '.join(map(str, scores['confusion'][row]))}")
    calibration = f"calibration error (ECE) {scores['ece']:.3f} at temperature {scores['temperature']:.2f}"
    if scores["others"]:
        each = ", ".join(f"{row['called']:.1%} of {row['faces']} {n}" for n, row in scores["others_by_folder"].items())
        lines.append(
            f"{scores['others']} faces of other folders: {scores['reject_label_rate']:.1%} got a label: {each}"
        )
        calibration += f", without those {scores['ece_of_answers']:.3f}"
    return [*lines, calibration, f"{len(scores['suspects'])} faces may lie in the wrong folder"]
