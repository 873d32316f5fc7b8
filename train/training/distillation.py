"""Distillation: a small network learns from the probabilities of a larger one, its teacher (Hinton et al. 2015)."""

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
TargetFn = Callable[[Any, Any], Any]  # targets (B, classes), images (B, H, W, 3) -> targets (B, classes)
SHARED_FACTS = "task", "input_size", "labels", "crop_margin"  # of teacher and student


def distillation_targets(teacher: keras.Model, recipe: Recipe) -> TargetFn:
    """A function that mixes the targets with the teacher's probabilities, by the recipe's `distill_weight`.

    Rows of zeros are unlabeled images; they take the teacher's probabilities alone.
    """

    def mix(targets: Any, images: Any) -> Any:
        predicted = ops.stop_gradient(ops.softmax(teacher(images, training=False)["logits"]))
        known = ops.sum(targets, axis=-1, keepdims=True)  # 1, or 0 for an unlabeled image
        weight = recipe.distill_weight
        return known * ((1 - weight) * targets + weight * predicted) + (1 - known) * predicted

    return mix


def load_teacher(spec: ModelSpec, folder: Path) -> keras.Model:
    """The network of a run folder, as the teacher of one of `spec`. Raises DataError when they do not match."""
    net, its = load_run(folder)
    for name in SHARED_FACTS:
        if getattr(its, name) != getattr(spec, name):
            raise DataError(
                f"{folder} cannot be the teacher: {name} differs ({getattr(its, name)}, not {getattr(spec, name)})"
            )
    net.trainable = False
    return net
