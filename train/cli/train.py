"""pocketsight train ..., pocketsight evaluate ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from pocketsight.train.cli.options import PATH, parse_comma_list
from pocketsight.train.datasets import holdout
from pocketsight.train.recipe import RECIPES, Recipe
from pocketsight.train.training import distillation, finish, prepare

FACE_DETECTOR_HELP = "Finds the face in each picture, so that it is cut as the board will."


@click.group()
def train() -> None:
    """Train a model on a workstation."""


def _training_options(task: str) -> Callable[[Any], Any]:
    """The options that both trainings share. Numbers that are not given come from the recipe of the net."""
    archs = list(RECIPES[task])
    out = f"The run folder.  [default: runs/{task}, runs/{task}-2, ...]"
    length = "Pictures to learn from, repeats counted: the length of the training."
    workers = "Processes that prepare pictures.  [default: cores - 1, at most 8]"
    which = "The net; its recipe has the defaults of what follows."
    weights = "To begin with: `shipped`, a run folder or a file; vgg16: of VGG16.  [default for vgg16: Keras' download]"

    def add(command: Any) -> Any:
        for option in (
            click.option("--workers", type=click.IntRange(1), help=workers),
            click.option("--seed", type=click.IntRange(0), help="Of every random choice.  [default: 0]"),
            click.option("--batch-size", type=click.IntRange(2), help="Pictures a step."),
            click.option("--epochs", type=click.IntRange(1), help="Passes over the pictures, instead of --samples."),
            click.option("--samples", type=click.IntRange(1), help=length),
            click.option("--resume", is_flag=True, help="Go on with the training in --out."),
            click.option("--out", type=PATH, help=out),
            click.option("--weights", help=weights),
            click.option("--arch", type=click.Choice(archs), default=archs[0], show_default=True, help=which),
        ):
            command = option(command)
        return command

    return add


@train.command()
@click.option("--data", type=PATH, required=True, help="COCO .json, or {train,val,test}/{images,labels} of labelme.")
@_training_options("detector")
def detector(data: Path, **options: Any) -> None:
    """Train the detector: one kind of object, any number of them in a picture (vgg16: one at most)."""
    from pocketsight.train.datasets.detection import (
        DetectionBatches,
        keep_single_object,
        read_detection_dataset,
        validation_batch,
    )
    from pocketsight.train.datasets.holdout import hold_out_detection

    faces = read_detection_dataset(data)

    from pocketsight.device.inference.manifest import ModelSpec
    from pocketsight.train.console import log_message
    from pocketsight.train.networks.registry import ARCHITECTURES

    arch = ARCHITECTURES["detector"][options["arch"]]
    if not arch.strides:
        faces, crowded = keep_single_object(faces)
        if crowded:
            log_message(
                f"{options['arch']} finds one box; left out: {crowded} pictures with more, or with regions to ignore"
            )
    train, val = hold_out_detection(faces, RECIPES["detector"][options["arch"]].val_fraction)
    recipe = _recipe_from_options("detector", options, len(train))
    facts = prepare.training_provenance([data], recipe, train, val)
    spec = ModelSpec(
        "detector",
        options["arch"],
        recipe.input_size,
        (faces.label,),
        score_threshold=0.5,
        strides=arch.strides,
        nms_iou_threshold=0.45,
        training=facts,
    )
    batches = DetectionBatches(train, spec, recipe)
    finish.finish_detector(_train_network(spec, batches, validation_batch, (train, val), recipe, options), batches, val)


@train.command()
@click.option(
    "--data",
    type=PATH,
    required=True,
    multiple=True,
    help="A folder with one folder a class, perhaps within train/, val/ and test/. May be given again.",
)
@click.option(
    "--soft-labels",
    type=PATH,
    multiple=True,
    help="CSV: a column `file`, and one of counts for each class; gives soft labels. May be given again.",
)
@click.option("--classes", help="Comma list: only these folders.  [default: all]")
@click.option(
    "--reject-classes", help="Comma list: folders of faces to be unsure about, as are those whose name starts with _."
)
@click.option("--detector", type=PATH, help=f"{FACE_DETECTOR_HELP}  [default: the one that comes with pocketsight]")
@click.option("--teacher", type=PATH, help="The run folder of a larger net of the same classes, to learn from too.")
@click.option(
    "--unlabeled", type=PATH, multiple=True, help="With --teacher: faces in any folders, whose class it says."
)
@_training_options("classifier")
def classifier(
    data: tuple[Path, ...],
    soft_labels: tuple[Path, ...],
    classes: str | None,
    reject_classes: str | None,
    detector: Path | None,
    teacher: Path | None,
    unlabeled: tuple[Path, ...],
    **options: Any,
) -> None:
    """Train the classifier of faces: two classes or more."""
    from pocketsight.train.datasets import classification
    from pocketsight.train.datasets.face_alignment import align_splits

    if unlabeled and not teacher:
        raise click.UsageError("--unlabeled needs --teacher, who says what they are")
    found = classification.read_classification_dataset(
        list(data), list(soft_labels), parse_comma_list(classes), parse_comma_list(reject_classes)
    )
    train, val = holdout.hold_out_classification(found, RECIPES["classifier"][options["arch"]].val_fraction)
    train = [*train, *classification.read_unlabeled(unlabeled, found.classes)] if unlabeled else train

    from pocketsight.device.inference.manifest import ModelSpec
    from pocketsight.train.networks.classifier import INITIAL_THRESHOLD
    from pocketsight.train.training.distillation import distillation_targets

    (train, val), recipe = align_splits((train, val), _recipe_from_options("classifier", options, len(train)), detector)
    facts = prepare.training_provenance([*data, *unlabeled], recipe, train, val)
    facts |= ({"soft_labels": [file.name for file in soft_labels]} if soft_labels else {}) | (
        {"teacher": teacher.name} if teacher else {}
    )
    spec = ModelSpec(
        "classifier",
        options["arch"],
        recipe.input_size,
        found.classes,
        INITIAL_THRESHOLD,
        crop_margin=recipe.crop_margin,
        training=facts,
    )
    target_fn = distillation_targets(distillation.load_teacher(spec, teacher), recipe) if teacher else None
    batches = classification.ClassificationBatches(train, spec, recipe)
    folder = _train_network(spec, batches, classification.validation_batch, (train, val), recipe, options, target_fn)
    finish.finish_classifier(folder, batches, val)


def _recipe_from_options(task: str, options: dict[str, Any], image_count: int) -> Recipe:
    """The recipe of the net with what the options change, its length in pictures. `count` pictures are one pass."""
    given = {k: options[k] for k in ("samples", "epochs", "batch_size", "seed") if options[k] is not None}
    recipe = RECIPES[task][options["arch"]]
    if "samples" in given:
        if "epochs" in given:
            raise click.UsageError("--samples and --epochs both give the length; choose one")
        given |= {"epochs": 0, "repeats": 1}
    recipe = replace(recipe, **given)
    return replace(recipe, samples=recipe.epochs * recipe.repeats * image_count) if recipe.epochs else recipe


def _train_network(
    spec: Any,
    batches: Any,
    validation_batch: Callable[..., Any],
    splits: Sequence[Any],
    recipe: Recipe,
    options: dict[str, Any],
    target_fn: Any = None,
) -> Path:
    """Train the net of a spec on `batches`; the run folder. `plain` makes the validation batch."""
    from pocketsight.train.datasets.loader import default_worker_count
    from pocketsight.train.networks.registry import ARCHITECTURES
    from pocketsight.train.training.trainer import fit

    train, val = splits
    net, spec = prepare.create_network(spec, options["weights"], options["resume"])
    loss, folder = (
        ARCHITECTURES[spec.task][spec.arch].loss,
        prepare.prepare_run_folder(options["out"], options["resume"], spec),
    )
    early = replace(batches, low_res=True) if recipe.low_res_share else None
    validation = validation_batch(prepare.validation_subset(val, spec), spec)
    workers = options["workers"] or default_worker_count()
    fit(net, loss, batches, recipe.repeats * len(train), validation, recipe, folder, workers, early, target_fn)
    return folder
