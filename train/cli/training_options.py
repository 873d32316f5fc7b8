"""The options that `train detector` and `train classifier` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pocketsight.device.cli.param_types import DurationParam
from pocketsight.train.cli.options import PATH
from pocketsight.train.recipe import RECIPES

PRECISIONS = "auto", "float32", "bfloat16", "float16"


def _require_tensorboard(context: click.Context, parameter: click.Parameter, show: bool | None) -> bool | None:
    """Raises DataError when the page is wanted and cannot be shown: before the data is read."""
    if show:
        from pocketsight.train.training.tensorboard_viewer import require_tensorboard

        require_tensorboard()
    return show


def training_options(task: str) -> Callable[[Any], Any]:
    """A decorator that adds the options to a command. Their defaults come from the recipe of the architecture."""

    def add(command: Any) -> Any:
        for option in reversed([*_network_options(task), *RECIPE_OPTIONS, *WATCH_OPTIONS, *HARDWARE_OPTIONS]):
            command = option(command)
        return command

    return add


def _network_options(task: str) -> list[Any]:
    """The network, its initial weights, and where the training goes."""
    architectures = list(RECIPES[task])
    weights = "Initial weights: `shipped`, a run folder or a file.  [default: random]"
    if "vgg16" in architectures:
        weights = (
            "Initial weights: `shipped`, a run folder or a file; for vgg16 a file with those of VGG16.  "
            "[default: random; for vgg16 Keras' download]"
        )
    return [
        click.option(
            "--arch",
            type=click.Choice(architectures),
            default=architectures[0],
            show_default=True,
            help="Architecture; its recipe also sets the defaults of other options.",
        ),
        click.option("--weights", help=weights),
        click.option("--out", type=PATH, help=f"Run folder.  [default: runs/{task}, runs/{task}-2, ...]"),
        click.option("--resume", is_flag=True, help="Continue the training in --out."),
    ]


RECIPE_OPTIONS = [
    click.option(
        "--samples",
        type=click.IntRange(1),
        help="Length of the training in images, repeats included.  [default: by --arch, less for few images]",
    ),
    click.option("--time", type=DurationParam(), help="Train as long as fits into this time, such as 20min."),
    click.option("--epochs", type=click.IntRange(1), help="Passes over the images, instead of --samples."),
    click.option("--batch-size", type=click.IntRange(2), help="Images per step.  [default: by --arch]"),
    click.option("--seed", type=click.IntRange(0), help="Seed of all random choices.  [default: 0]"),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="Another value of a hyperparameter of the recipe. May be repeated.",
    ),
    click.option("--recipe", type=PATH, help="TOML file with hyperparameters, such as recipe.toml of a run folder."),
    click.option("--no-flip", is_flag=True, help="No mirrored images: a mirrored letter or arrow is another thing."),
]
WATCH_OPTIONS = [
    click.option(
        "--early-stopping",
        type=click.IntRange(1),
        metavar="N",
        help="Stop when the validation loss has not improved for N epochs, and keep the best epoch.",
    ),
    click.option(
        "--tensorboard/--no-tensorboard",
        default=None,
        callback=_require_tensorboard,
        help="Show the training in TensorBoard while it runs; or write no event files.  [default: write them]",
    ),
]
HARDWARE_OPTIONS = [
    click.option(
        "--workers",
        type=click.IntRange(1),
        help="Processes that prepare images.  [default: cores - 1, at most 16]",
    ),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        show_default=True,
        help="Type of the computation; auto: float32 on a CPU, a short type on an NVIDIA GPU that has it.",
    ),
    click.option(
        "--xla/--no-xla",
        default=None,
        help="Compile the step with XLA.  [default: on a GPU with TensorFlow, and always with JAX]",
    ),
    click.option(
        "--gpu-memory-limit",
        type=click.IntRange(256),
        metavar="MB",
        help="Largest memory to take on each GPU.  [default: as needed]",
    ),
]
