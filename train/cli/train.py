"""pocketsight train ..."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from math import inf
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from pocketsight.device.cli.options import StrictGroup
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.train.cli.options import PATH, parse_comma_list
from pocketsight.train.cli.recipe_option import parse_settings, read_recipe_file, write_recipe_file
from pocketsight.train.cli.training_options import training_options
from pocketsight.train.recipe import RECIPES, Recipe, samples_for_few

FACE_DETECTOR_HELP = "Detector that finds the face in each image, so that it is cropped as on the board."
ALIASES = {"sentiment": "classifier"}  # hidden: the word of the two tutorials


class TrainGroup(StrictGroup):
    """A group with hidden aliases."""

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return super().get_command(context, ALIASES.get(name, name))


@click.group(cls=TrainGroup)
def train() -> None:
    """Train a model on a workstation."""


@train.command("detector")
@click.option(
    "--data",
    type=PATH,
    required=True,
    multiple=True,
    help="COCO .json, folders of labelme, or shards. May be repeated.",
)
@click.option("--labels", help="Comma-separated labels to detect, in this order.  [default: all of the data]")
@training_options("detector")
def train_detector(data: tuple[Path, ...], labels: str | None, **options: Any) -> None:
    """Train a detector for one or several kinds of objects (vgg16: at most one object per image)."""
    from pocketsight.train.datasets import detection, detection_batches
    from pocketsight.train.datasets.holdout import hold_out_detection
    from pocketsight.train.datasets.image_cache import make_image_cache
    from pocketsight.train.datasets.sample_table import SampleTable, count_boxes

    # Before the slow imports: it may fail.
    dataset = detection.read_detection_datasets(data, parse_comma_list(labels) or ())

    from pocketsight.train.console import log_message
    from pocketsight.train.evaluation import plots
    from pocketsight.train.gpu import limit_gpu_memory
    from pocketsight.train.networks.registry import ARCHITECTURES
    from pocketsight.train.training import finish, prepare
    from pocketsight.train.training.validation_figures import detector_figures

    limit_gpu_memory(options["gpu_memory_limit"])
    name = options["arch"]
    architecture = ARCHITECTURES["detector"][name]
    if not architecture.strides:
        dataset, crowded = detection.keep_single_object(dataset)
        if crowded:
            log_message(f"{name} finds one box; left out: {crowded} images with more, or with regions to ignore")
    train, val = hold_out_detection(dataset, RECIPES["detector"][name].val_fraction)
    if len(dataset.labels) > 1:
        log_message(f"{len(dataset.labels)} labels: {count_boxes(train, dataset.labels)}")
    recipe = _recipe_from_options("detector", options, len(train))
    spec = ModelSpec(
        "detector",
        name,
        recipe.input_size,
        dataset.labels,
        score_threshold=0.5,
        strides=architecture.strides,
        nms_iou_threshold=0.45,
        training=prepare.training_provenance(data, recipe, train, val),
    )
    batches = detection_batches.DetectionBatches(
        train, spec, recipe, cache=make_image_cache(SampleTable.from_samples(train).number_count)
    )
    steps = prepare.TaskSteps(
        plots.draw_detection_batch, detection_batches.validation_batch, detector_figures, finish.finish_detector
    )
    _train_network(spec, batches, steps, (train, val), recipe, options)


@train.command("classifier")
@click.option(
    "--data",
    type=PATH,
    required=True,
    multiple=True,
    help="Folder with one folder per class, directly or in train/, val/ and test/; or shards. May be repeated.",
)
@click.option(
    "--soft-labels",
    type=PATH,
    multiple=True,
    help="CSV with votes: a column `file`, and a column of counts for each class. May be repeated.",
)
@click.option("--classes", help="Comma-separated class folders to use.  [default: all]")
@click.option(
    "--reject-classes",
    help="Comma-separated folders whose faces are learned but reported as `unsure`; folders named _... always are.",
)
@click.option("--detector", type=PATH, help=f"{FACE_DETECTOR_HELP}  [default: the shipped one]")
@click.option("--teacher", type=PATH, help="Run folder of a larger network of the same classes, for distillation.")
@click.option("--unlabeled", type=PATH, multiple=True, help="With --teacher: folders of faces that the teacher labels.")
@training_options("classifier")
def train_classifier(
    data: tuple[Path, ...],
    soft_labels: tuple[Path, ...],
    classes: str | None,
    reject_classes: str | None,
    detector: Path | None,
    teacher: Path | None,
    unlabeled: tuple[Path, ...],
    **options: Any,
) -> None:
    """Train a classifier of faces with two or more classes."""
    from pocketsight.train.datasets import classification
    from pocketsight.train.datasets.class_balance import log_balance
    from pocketsight.train.datasets.face_alignment import align_splits, load_face_finder
    from pocketsight.train.datasets.holdout import hold_out_classification
    from pocketsight.train.datasets.image_cache import make_image_cache

    if unlabeled and not teacher:
        raise click.UsageError("--unlabeled needs --teacher, which labels those images")
    dataset = classification.read_classification_dataset(
        list(data), list(soft_labels), parse_comma_list(classes), parse_comma_list(reject_classes)
    )
    train, val = hold_out_classification(dataset, RECIPES["classifier"][options["arch"]].val_fraction)
    log_balance(dataset.classes, train, val)
    train = [*train, *classification.read_unlabeled(unlabeled, dataset.classes)] if unlabeled else train

    from pocketsight.train.evaluation import plots
    from pocketsight.train.gpu import limit_gpu_memory
    from pocketsight.train.networks.classifier import INITIAL_THRESHOLD
    from pocketsight.train.training import distillation, finish, prepare
    from pocketsight.train.training.validation_figures import classifier_figures

    limit_gpu_memory(options["gpu_memory_limit"])
    (train, val), recipe = align_splits((train, val), _recipe_from_options("classifier", options, len(train)), detector)
    spec = ModelSpec(
        "classifier",
        options["arch"],
        recipe.input_size,
        dataset.classes,
        INITIAL_THRESHOLD,
        classifies=load_face_finder(detector).spec.labels if recipe.align_faces else (),
        crop_margin=recipe.crop_margin,
        training=prepare.training_provenance([*data, *unlabeled], recipe, train, val, soft_labels, teacher),
    )

    def make_target_fn() -> Any:
        return distillation.distillation_targets(distillation.load_teacher(spec, teacher), recipe) if teacher else None

    batches = classification.ClassificationBatches(train, spec, recipe, cache=make_image_cache(len(train)))
    steps = prepare.TaskSteps(
        plots.draw_classification_batch, classification.validation_batch, classifier_figures, finish.finish_classifier
    )
    _train_network(spec, batches, steps, (train, val), recipe, options, make_target_fn)


def _recipe_from_options(task: str, options: dict[str, Any], image_count: int) -> Recipe:
    """The recipe of the architecture with the given options. One epoch is `image_count` images."""
    given = {k: options[k] for k in ("samples", "epochs", "batch_size", "seed") if options[k] is not None}
    lengths = [f"--{name}" for name in ("samples", "epochs", "time") if options[name] is not None]
    if len(lengths) > 1:
        raise click.UsageError(f"{' and '.join(lengths)} both set the length; give one of them")
    if "samples" in given:
        given |= {"epochs": 0, "repeats": 1}
    if options["no_flip"]:
        given |= {"horizontal_flip": 0.0, "vertical_flip": 0.0}
    default: Recipe = RECIPES[task][options["arch"]]
    settings = read_recipe_file(options["recipe"], default) if options["recipe"] else {}
    settings |= parse_settings(options["settings"], default) | given
    recipe = replace(default, **settings)
    if recipe.epochs:
        return replace(recipe, samples=recipe.epochs * recipe.repeats * image_count)
    if "samples" not in settings and (fewer := samples_for_few(image_count)) < recipe.samples:
        recipe = replace(recipe, samples=fewer)
        if not options["time"]:
            click.echo(f"length: {fewer:,} samples for {image_count:,} images; --samples sets another", err=True)
    return recipe


def _train_network(
    spec: ModelSpec,
    batches: Any,
    steps: Any,
    splits: Sequence[Any],
    recipe: Recipe,
    options: dict[str, Any],
    make_target_fn: Callable[[], Any] = lambda: None,
) -> None:
    """Train the network of a spec on `batches`. `steps` are the TaskSteps, `splits` are training and validation.

    With several processes, the others than the writer only compute.
    """
    from pocketsight.train.datasets.loader import default_worker_count
    from pocketsight.train.gpu import use_precision
    from pocketsight.train.networks.registry import ARCHITECTURES
    from pocketsight.train.run_folder import RECIPE_FILE
    from pocketsight.train.training import prepare
    from pocketsight.train.training.distribution import joined_cluster
    from pocketsight.train.training.options import TrainingOptions
    from pocketsight.train.training.stopping import FINISH
    from pocketsight.train.training.trainer import fit
    from pocketsight.train.training.watch import SAMPLES_SHEET, watch_training

    train, val = splits
    deadline = perf_counter() + (1 - FINISH) * options["time"] if options["time"] else inf
    recipe, spec, batches = _fit_into_time(spec, batches, recipe, options)
    image_count, folder = recipe.repeats * len(train), Path()
    callbacks: list[Any] = []
    with ExitStack() as stack:
        with joined_cluster(spec) as cluster:
            target_fn = make_target_fn()
            fit_options = TrainingOptions(
                workers=options["workers"] or default_worker_count(),
                xla=options["xla"],
                tensorboard=options["tensorboard"],
                early_stopping=options["early_stopping"] or 0,
                deadline=deadline,
                cluster=cluster,
            )
            rows = replace(batches, rows=cluster.rows(recipe.batch_size))
            low_res = replace(rows, low_res=True) if recipe.low_res_share else None
            with use_precision(options["precision"]):
                net, spec = prepare.create_network(spec, options["weights"], options["resume"])
                architecture = ARCHITECTURES[spec.task][spec.architecture]
                if cluster.is_writer:
                    folder = prepare.prepare_run_folder(options["out"], options["resume"], spec)
                    write_recipe_file(folder / RECIPE_FILE, recipe)
                    steps.draw_samples(batches, folder / SAMPLES_SHEET)
                    watching = watch_training(folder, net, spec, fit_options, steps.figures(val, spec))
                    callbacks = stack.enter_context(watching)
                validation = steps.validation_batch(prepare.validation_subset(val, spec), spec)
                training = rows, image_count, validation, recipe, folder, fit_options, low_res, target_fn
                fit(net, architecture.loss, *training, architecture.loss_parts, callbacks)
        if cluster.is_writer:
            steps.finish(folder, val)


def _fit_into_time(spec: ModelSpec, batches: Any, recipe: Recipe, options: dict[str, Any]) -> tuple[Recipe, Any, Any]:
    """The recipe, spec and batches of a training that takes --time; a resumed one keeps its length."""
    if not options["time"]:
        return recipe, spec, batches
    from pocketsight.train.datasets.loader import default_worker_count
    from pocketsight.train.gpu import use_precision
    from pocketsight.train.run_folder import read_trained_recipe
    from pocketsight.train.training.time_budget import samples_within

    if options["resume"] and options["out"] and (before := read_trained_recipe(options["out"])):
        samples = int(before["samples"])
    else:
        low_res = replace(batches, low_res=True) if recipe.low_res_share else None
        with use_precision(options["precision"]):
            workers = options["workers"] or default_worker_count()
            samples = samples_within(options["time"], spec, recipe, (low_res, batches), workers, options["xla"])
        click.echo(f"length: {samples:,} samples fit into the time", err=True)
    recipe = replace(recipe, samples=samples)
    facts = spec.training | {"recipe": spec.training["recipe"] | {"samples": samples}}
    return recipe, replace(spec, training=facts), replace(batches, recipe=recipe)
