"""A run folder: what one training leaves behind.

manifest.json      the facts of the model; `pocketsight export tflite` completes it
model.weights.h5   the averaged weights
history.csv        losses by epoch; curves.png shows them
samples.png        what it learned from; found.png or named.png what it made of pictures held out, failures.html what
                   went wrong; scores.json, plots
checkpoint.*       what --resume goes on from
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import DataError, ModelError
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.image import Image
from pocketsight.train.console import log_message, suggest_next
from pocketsight.train.evaluation import classifier, detector, evaluate, plots, threshold_choice
from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.registry import ARCHITECTURES
from pocketsight.train.recipe import Recipe
from pocketsight.train.training.trainer import HISTORY_FILE, WEIGHTS_FILE, describe_backend


def training_provenance(
    data: Sequence[Path], recipe: Recipe, train: Sequence[Any], val: Sequence[Any]
) -> dict[str, Any]:
    """What the manifest says of the training. Warns when there were too few pictures to hold any out."""
    if train is val:
        log_message("too few pictures to hold any out: the validation scores are of pictures it learned from")
    return {
        "data": [path.name for path in data],
        "train_pictures": len(train),
        "val_pictures": 0 if train is val else len(val),
        "recipe": asdict(recipe),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }


def prepare_run_folder(out: Path | None, resume: bool, spec: ModelSpec) -> Path:
    """The run folder, made, with its manifest; prints where and on what the training runs.

    Without `out` the first free of runs/TASK, runs/TASK-2, ... Raises DataError when `out` holds another training.
    """
    if resume and out is None:
        raise DataError("--resume needs --out FOLDER, the run folder to go on with")
    folder = out or _next_run_path(spec.task)
    manifest = folder / MANIFEST_NAME
    if resume and not manifest.exists():
        raise DataError(f"{folder} holds no training to go on with")
    if not resume and manifest.exists():
        raise DataError(f"{folder} holds a training; go on with it by --resume, or choose another --out")
    if resume and (changed := _changed_settings(ModelSpec.from_json(manifest.read_text(), manifest), spec)):
        raise DataError(f"{folder} was trained with other settings: {', '.join(changed)} differ; resume with the same")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not resume:
            manifest.write_text(spec.to_json())
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}") from error
    log_message(f"{describe_backend()}; into {folder}")
    return folder


def _changed_settings(before: ModelSpec, now: ModelSpec) -> list[str]:
    """Names of the facts that keep a checkpoint from being gone on with."""
    old, new = (json.loads(spec.to_json()) for spec in (before, now))
    for facts in (old, new):
        facts |= {f"training {key}": value for key, value in facts.pop("training").items()}
        for free in ("threshold", "steadiness", "training keras", "training backend", "training begun_from"):
            facts.pop(free, None)  # chosen at the end, or free to change
    return [key for key in new if old.get(key) != new[key]]


def _next_run_path(task: str) -> Path:
    names = (f"runs/{task}" if n == 1 else f"runs/{task}-{n}" for n in range(1, 10_000))
    return next(path for path in map(Path, names) if not path.exists())


def build_network(spec: ModelSpec, batch: int | None = None, any_size: bool = False) -> keras.Model:
    """The net of a spec, without weights. Raises ModelError when this version does not know its architecture.

    `free`: one that takes pictures of any size, if the net can.
    """
    archs = ARCHITECTURES[spec.task]
    if spec.arch not in archs:
        raise ModelError(f"this pocketsight has no {spec.task} net {spec.arch!r}; it has: {', '.join(archs)}")
    classes = () if spec.task == "detector" else (len(spec.labels),)
    arch = archs[spec.arch]
    return arch.build((None, None) if any_size and arch.strides else spec.input_size, *classes, batch=batch)


def create_network(spec: ModelSpec, weights: str | None, resume: bool) -> tuple[keras.Model, ModelSpec]:
    """A net to train, and its spec, which says where the weights are from that it begins with.

    `weights` is a file, a run folder, or "shipped"; without them they are random. Layers of another shape, as the last
    one for other classes, begin anew. Raises DataError when hardly anything fits.
    """
    keras.utils.set_random_seed(spec.training["recipe"]["seed"])
    net, arch = build_network(spec, any_size=True), ARCHITECTURES[spec.task][spec.arch]
    if not weights and (resume or not arch.load_pretrained):  # killed before its first checkpoint, it needs them again
        return net, spec
    if weights == "shipped" and not arch.shipped_model:
        raise DataError(f"no weights of {spec.arch} are shipped; give a file or a run folder by --weights")
    if arch.load_pretrained and not (weights and Path(weights).is_dir()):
        if not arch.load_pretrained(net, Path(weights) if weights else None):
            log_message("begins without ImageNet's weights: Keras cannot fetch them here; give them by --weights FILE")
            return net, spec
    elif weights:
        load_matching_weights(net, _weights_file(spec, weights))
    name = Path(weights).name if weights else "ImageNet"
    return net, replace(spec, training=spec.training | {"begun_from": name})


def _weights_file(spec: ModelSpec, weights: str) -> Path:
    if weights == "shipped":
        return (
            Path(str(files("pocketsight.models"))) / f"{ARCHITECTURES[spec.task][spec.arch].shipped_model}.weights.h5"
        )
    path = Path(weights)
    return path / WEIGHTS_FILE if path.is_dir() else path


def load_matching_weights(net: keras.Model, path: Path) -> None:
    """Load the weights of every layer that has the same shape. Raises DataError when less than half of them has."""
    before = net.get_weights()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it names each layer that it leaves out
            net.load_weights(path, skip_mismatch=True)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} does not hold weights of this net: {str(error).splitlines()[0]}") from error
    pairs = [(a, b) for a, b in zip(before, net.get_weights(), strict=True) if a.ndim > 1]  # kernels begin at random
    if sum(bool(np.array_equal(a, b)) for a, b in pairs) > len(pairs) / 2:
        raise DataError(f"{path} holds weights of another net; hardly a layer fits")


def validation_subset(val: Sequence[Any], spec: ModelSpec) -> list[Any]:
    """Pictures from all over the validation part, no more than fit into 64 MB: they stay in memory all the time."""
    most = max(16, 64_000_000 // (3 * spec.input_size[0] * spec.input_size[1]))
    return list(val[:: -(-len(val) // most) or 1])


def load_run(folder: Path, batch: int | None = None) -> tuple[keras.Model, ModelSpec]:
    """A trained net and its spec. Raises ModelError when the folder holds no finished training."""
    manifest, weights = folder / MANIFEST_NAME, folder / WEIGHTS_FILE
    if not manifest.exists():
        raise ModelError(f"{folder} is not a run folder: it has no {MANIFEST_NAME}; make one with: pocketsight train")
    spec = ModelSpec.from_json(manifest.read_text(), manifest)
    if not weights.exists():
        raise ModelError(f"{folder} holds an unfinished training; go on with it by: pocketsight train ... --resume")
    net = build_network(spec, batch)
    net.load_weights(weights)
    return net, spec


def load_teacher(spec: ModelSpec, folder: Path) -> keras.Model:
    """The net of a run folder that one of `spec` learns from. Raises DataError when it sees or says something else."""
    net, its = load_run(folder)
    for fact in ("task", "size", "labels", "margin"):
        if getattr(its, fact) != getattr(spec, fact):
            raise DataError(
                f"{folder} is no teacher here: its {fact} is {getattr(its, fact)}, not {getattr(spec, fact)}"
            )
    net.trainable = False
    return net


def as_model(net: keras.Model, spec: ModelSpec) -> Model:
    """A Keras net in the board's form, so that the board's code can run it."""

    def model(image: Image) -> dict[str, QuantizedTensor]:
        outputs = net.predict_on_batch(image[np.newaxis].astype(np.float32))
        return {name: QuantizedTensor(np.asarray(value)[0]) for name, value in outputs.items()}

    return Model(model, spec)


def finish_detector(folder: Path, batches: Any, val: Sequence[Any]) -> None:
    """Choose the threshold with the best F1 on the validation part, score at it, draw, say what comes next."""
    net, spec = load_run(folder)
    try:
        results = detector.run_detector(as_model(net, spec), val, progress=evaluate.scoring_progress)
    except DataError as error:  # a validation part without a face that counts
        log_message(f"not scored: {error}")
        plots.plot_loss_curves(folder / HISTORY_FILE, folder / "curves.png")
        plots.draw_detection_batch(batches, folder / "samples.png")
        return _suggest_export(folder)
    spec = replace(
        spec,
        score_threshold=detector.best_f1_threshold(
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
    predictions = list(classifier.iter_predictions(as_model(net, spec), evaluate.scoring_progress(val), skipped))
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
    suggest_next("export", "tflite", folder, "--calibrate", "DATA")
