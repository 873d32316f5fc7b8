"""TODO docstring."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.train.keras_backend import keras
from pocketsight.train.recipe import Recipe
from pocketsight.train.run_folder import load_run

ops = keras.ops
TargetFn = Callable[[Any, Any], Any]  # (targets, pixels) -> targets


def distillation_targets(teacher: keras.Model, recipe: Recipe) -> Any:
    """Targets (B, classes) that a teacher makes: its odds, mixed with those of the data where they say something."""

    def teach(targets: Any, pixels: Any) -> Any:
        odds = ops.stop_gradient(ops.softmax(teacher(pixels, training=False)["logits"]))
        known = ops.sum(targets, axis=-1, keepdims=True)  # 1, or 0 where nobody knows
        return known * ((1 - recipe.distill_weight) * targets + recipe.distill_weight * odds) + (1 - known) * odds

    return teach


def load_teacher(spec: ModelSpec, folder: Path) -> keras.Model:
    """The net of a run folder that one of `spec` learns from. Raises DataError when it sees or says something else."""
    net, its = load_run(folder)
    for fact in ("task", "input_size", "labels", "crop_margin"):
        if getattr(its, fact) != getattr(spec, fact):
            raise DataError(
                f"{folder} is no teacher here: its {fact} is {getattr(its, fact)}, not {getattr(spec, fact)}"
            )
    net.trainable = False
    return net
