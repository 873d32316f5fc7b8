"""TODO docstring."""

from __future__ import annotations

from typing import Any

from pocketsight.device.vision.box_encoding import IGNORE, POSITIVE
from pocketsight.train.keras_backend import keras
from pocketsight.train.recipe import Recipe

ops = keras.ops


def detector_loss(targets: Any, outputs: Any, recipe: Recipe) -> Any:
    """Quality focal loss of all cells that count plus EIoU of the cells on faces, over the number of the latter.

    `targets` (B, cells, 5) are `encode`'s; `outputs` the net's.
    """
    score, sides = flatten_outputs(outputs)
    state, wanted = targets[..., 0], targets[..., 1:]
    face = ops.cast(state == POSITIVE, "float32")
    overlap, misfit = iou_and_eiou_loss(sides, wanted)
    quality = ops.stop_gradient(overlap) * face
    counts = ops.cast(state != IGNORE, "float32")
    cells = ops.maximum(ops.sum(face), 1.0)
    presence = ops.sum(counts * quality_focal_loss(score, quality)) / cells
    return presence + recipe.box_loss_weight * ops.sum(face * misfit) / cells


def flatten_outputs(outputs: Any) -> tuple[Any, Any]:
    """Score (B, cells) and distances (B, cells, 4) in the order of `encode`: grid after grid, row by row."""
    strides = sorted(int(name.removeprefix("score_")) for name in outputs if name.startswith("score_"))
    scores = [ops.reshape(outputs[f"score_{s}"], (ops.shape(outputs[f"score_{s}"])[0], -1)) for s in strides]
    sides = [ops.reshape(outputs[f"box_{s}"], (ops.shape(outputs[f"box_{s}"])[0], -1, 4)) for s in strides]
    return ops.concatenate(scores, 1), ops.concatenate(sides, 1)


def quality_focal_loss(score: Any, quality: Any) -> Any:
    """Cross-entropy against a quality in 0..1, weighted by the squared error (quality focal loss, arXiv 2006.04388)."""
    score = ops.clip(score, 1e-6, 1 - 1e-6)
    entropy = -quality * ops.log(score) - (1 - quality) * ops.log(1 - score)
    return entropy * ops.square(score - quality)


def iou_and_eiou_loss(a: Any, b: Any) -> tuple[Any, Any]:
    """Intersection over union, and the EIoU loss (arXiv 2101.08158), of boxes around the same points.

    Both are (..., 4): distances to left, top, right, bottom.
    """
    inner, outer = ops.minimum(a, b), ops.maximum(a, b)
    shared = (inner[..., 0] + inner[..., 2]) * (inner[..., 1] + inner[..., 3])
    wide, high = outer[..., 0] + outer[..., 2], outer[..., 1] + outer[..., 3]
    a_wide, a_high = a[..., 0] + a[..., 2], a[..., 1] + a[..., 3]
    b_wide, b_high = b[..., 0] + b[..., 2], b[..., 1] + b[..., 3]
    small = 1e-6
    overlap = shared / (a_wide * a_high + b_wide * b_high - shared + small)
    x = (a[..., 2] - a[..., 0] - b[..., 2] + b[..., 0]) / 2
    y = (a[..., 3] - a[..., 1] - b[..., 3] + b[..., 1]) / 2
    apart = (ops.square(x) + ops.square(y)) / (ops.square(wide) + ops.square(high) + small)
    unlike = ops.square((a_wide - b_wide) / (wide + small)) + ops.square((a_high - b_high) / (high + small))
    return overlap, 1 - overlap + apart + unlike


def classifier_loss(targets: Any, outputs: Any, recipe: Recipe) -> Any:
    """Cross-entropy against the odds of each class (B, classes), which votes may have made soft."""
    each = keras.losses.categorical_crossentropy(
        targets, outputs["logits"], from_logits=True, label_smoothing=recipe.label_smoothing
    )
    return ops.mean(each)


def cnn256_loss(targets: Any, outputs: Any, recipe: Recipe) -> Any:
    """Binary cross-entropy; `targets` (B, 2) are the odds of both classes."""
    return ops.mean(_binary_cross_entropy(targets[:, 1], outputs["score"][:, 0]))


def vgg16_loss(targets: Any, outputs: Any, recipe: Recipe) -> Any:
    """Squared error of the corner plus that of the size, summed over the batch, plus half the cross-entropy.

    `targets` (B, 5) are `encode_one`'s. Where there is no face, the box to learn is all zeros.
    """
    wanted, box = targets[:, 1:], outputs["box"]
    corner = ops.square(wanted[:, :2] - box[:, :2])
    size = ops.square((wanted[:, 2:] - wanted[:, :2]) - (box[:, 2:] - box[:, :2]))
    presence = ops.mean(_binary_cross_entropy(targets[:, 0], outputs["score"][:, 0]))
    return recipe.box_loss_weight * ops.sum(corner + size) + presence / 2


def _binary_cross_entropy(wanted: Any, score: Any) -> Any:
    score = ops.clip(score, 1e-7, 1 - 1e-7)
    return -wanted * ops.log(score) - (1 - wanted) * ops.log(1 - score)
