"""edgekit train ..., edgekit score ..."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from edgekit.device.cli import Size
from edgekit.train.recipe import DETECTOR, SENTIMENT, Recipe

PATH = click.Path(path_type=Path)


@click.group()
def train() -> None:
    """Train a model on a workstation."""


def _training_options(recipe: Recipe, task: str) -> Callable[[Any], Any]:
    """The options that both trainings share, with the recipe's numbers as defaults."""
    out = f"The run folder.  [default: runs/{task}, runs/{task}-2, ...]"
    length = "Pictures to learn from, repeats counted: the length of the training."
    workers = "Processes that prepare pictures.  [default: cores - 1, at most 8]"

    def add(command: Any) -> Any:
        for option in (
            click.option("--workers", type=click.IntRange(1), help=workers),
            click.option("--seed", default=recipe.seed, show_default=True, help="Of every random choice."),
            click.option(
                "--batch", default=recipe.batch, show_default=True, type=click.IntRange(2), help="Pictures a step."
            ),
            click.option("--pictures", default=recipe.pictures, show_default=True, type=click.IntRange(1), help=length),
            click.option("--resume", is_flag=True, help="Go on with the training in --out."),
            click.option("--out", type=PATH, help=out),
        ):
            command = option(command)
        return command

    return add


@train.command()
@click.option("--data", type=PATH, required=True, help="COCO .json, or {train,val,test}/{images,labels} of labelme.")
@_training_options(DETECTOR, "detector")
def detector(data: Path, **options: Any) -> None:
    """Train the detector: one kind of object, any number of them in a picture."""
    from edgekit.train.faces import FaceBatches, hold_out, plain, read_faces

    faces = read_faces(data)
    train, val = hold_out(faces, DETECTOR.held_out)

    from edgekit.device.spec import ModelSpec
    from edgekit.train import run
    from edgekit.train.detector import ARCH, SIZE, STRIDES, loss
    from edgekit.train.fit import fit

    recipe = _recipe(DETECTOR, options)
    facts = run.provenance([data], recipe, train, val)
    spec = ModelSpec(
        "detector", ARCH, SIZE, (faces.label,), threshold=0.5, strides=STRIDES, overlap=0.45, training=facts
    )
    folder = run.folder_for(options["out"], options["resume"], spec)
    net, batches = run.build(spec), FaceBatches(train, spec, recipe)
    fit(net, loss, batches, len(train), plain(val[:256], spec), recipe, folder, _workers(options))
    run.finish_detector(folder, batches, val)


@train.command()
@click.option(
    "--data",
    type=PATH,
    required=True,
    multiple=True,
    help="A folder with one folder a class, perhaps within train/, val/ and test/. May be given again.",
)
@click.option(
    "--votes",
    type=PATH,
    multiple=True,
    help="CSV: a column `file`, and one of counts for each class; gives soft labels. May be given again.",
)
@click.option("--classes", help="Comma list: only these folders.  [default: all]")
@click.option(
    "--others", help="Comma list: folders of faces to be unsure about, as are those whose name starts with _."
)
@_training_options(SENTIMENT, "sentiment")  # fmt: skip
def sentiment(
    data: tuple[Path, ...], votes: tuple[Path, ...], classes: str | None, others: str | None, **options: Any
) -> None:
    """Train the classifier of faces: two classes or more."""
    from edgekit.train.expressions import PortraitBatches, hold_out, plain, read_expressions

    names, rest = (tuple(n.strip() for n in text.split(",")) if text else () for text in (classes, others))
    expressions = read_expressions(list(data), list(votes), names, rest)
    train, val = hold_out(expressions, SENTIMENT.held_out)

    from edgekit.device.sentiment import MARGIN
    from edgekit.device.spec import ModelSpec
    from edgekit.train import run
    from edgekit.train.fit import fit
    from edgekit.train.sentiment import ARCH, SIZE, THRESHOLD, loss

    recipe = _recipe(SENTIMENT, options)
    facts = run.provenance(data, recipe, train, val)
    spec = ModelSpec("sentiment", ARCH, SIZE, expressions.classes, THRESHOLD, margin=MARGIN, training=facts)
    folder = run.folder_for(options["out"], options["resume"], spec)
    net, batches = run.build(spec), PortraitBatches(train, spec, recipe)
    fit(net, loss, batches, len(train), plain(val, spec), recipe, folder, _workers(options))
    run.finish_sentiment(folder, batches, val)


def _recipe(recipe: Recipe, options: dict[str, Any]) -> Recipe:
    return replace(recipe, **{k: options[k] for k in ("pictures", "batch", "seed")})


def _workers(options: dict[str, Any]) -> int:
    from edgekit.train.feed import workers_for_this_machine

    return options["workers"] or workers_for_this_machine()


@click.command()
@click.argument("model", metavar="RUN_OR_MODEL", type=PATH)
@click.option(
    "--data", type=PATH, required=True, multiple=True, help="As for training; the part named test, if there is one."
)
@click.option(
    "--min-face", default=16.0, show_default=True, help="Detector: px of the frame; smaller faces do not count."
)
@click.option("--frame", type=Size(), default="320x240", show_default=True, help="Detector: pictures are fitted to it.")
@click.option(
    "--votes", type=PATH, multiple=True, help="Classifier: the voters' majority is the truth, where it is clear."
)
@click.option(
    "--plots", type=PATH, help="A folder for a precision/recall curve or a confusion matrix, and found faces."
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def score(
    model: Path, data: tuple[Path, ...], min_face: float, frame: tuple[int, int], votes: tuple[Path, ...],
    plots: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Score a run folder or a .tflite file on labelled pictures, with the board's own code."""
    from edgekit.train import verdict

    loaded = verdict.open_model(model)
    if loaded.spec.task == "detector":
        scores = verdict.detector(loaded, data, frame, min_face, plots)
    else:
        scores = verdict.sentiment(loaded, data, votes, plots)
    click.echo(json.dumps(scores, indent=2) if as_json else verdict.text(scores))
    for line in scores["skipped"]:
        click.echo(f"skipped: {line}", err=True)
