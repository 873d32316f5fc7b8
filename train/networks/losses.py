"""The losses of all networks: targets, outputs and recipe to a scalar, or to the parts of a sum by name."""

from __future__ import annotations

from typing import Any

from pocketsight.device.vision.box_encoding import IGNORE, POSITIVE
from pocketsight.train.keras_backend import keras
from pocketsight.train.recipe import Recipe

ops = keras.ops


def detector_loss(targets: Any, outputs: Any, recipe: Recipe) -> dict[str, Any]:
    """Quality focal loss of all cells that count, EIoU loss of the cells on objects, over the number of the latter.

    The target of a score is the quality of the box for the kind of the object, 0 for the other kinds. `targets`
    (B, cells, 5) come from `box_encoding.encode_batch`; `outputs` are those of `grid_detector`.
    """
    score, distances = flatten_outputs(outputs)
    state, true_distances = targets[..., 0], targets[..., 1:]
    is_object = ops.cast(state >= POSITIVE, "float32")
    overlap, box_loss = iou_and_eiou_loss(distances, true_distances)
    quality = ops.stop_gradient(overlap) * is_object
    counts = ops.cast(state != IGNORE, "float32")
    if (kinds := score.shape[-1]) > 1:
        is_kind = ops.cast(ops.expand_dims(state, -1) == POSITIVE + ops.arange(kinds, dtype=state.dtype), "float32")
        quality, counts = ops.expand_dims(quality, -1) * is_kind, ops.expand_dims(counts, -1)
    else:
        score = score[..., 0]
    cells = ops.maximum(ops.sum(is_object), 1.0)
    return {
        "score": ops.sum(counts * quality_focal_loss(score, quality)) / cells,
        "box": recipe.box_loss_weight * ops.sum(is_object * box_loss) / cells,
    }


def flatten_outputs(outputs: Any) -> tuple[Any, Any]:
    """Scores (B, cells, kinds) and distances (B, cells, 4) in the order of `encode`: grid after grid, row by row."""
    strides = sorted(int(name.removeprefix("score_")) for name in outputs if name.startswith("score_"))
    kinds = outputs[f"score_{strides[0]}"].shape[-1]
    scores = [ops.reshape(outputs[f"score_{s}"], (ops.shape(outputs[f"score_{s}"])[0], -1, kinds)) for s in strides]
    boxes = [ops.reshape(outputs[f"box_{s}"], (ops.shape(outputs[f"box_{s}"])[0], -1, 4)) for s in strides]
    return ops.concatenate(scores, 1), ops.concatenate(boxes, 1)


def quality_focal_loss(score: Any, quality: Any) -> Any:
    """Cross-entropy with a quality in 0..1, weighted by the squared error (quality focal loss, arXiv 2006.04388)."""
    score = ops.clip(score, 1e-6, 1 - 1e-6)
    entropy = -quality * ops.log(score) - (1 - quality) * ops.log(1 - score)
    return entropy * ops.square(score - quality)


def iou_and_eiou_loss(a: Any, b: Any) -> tuple[Any, Any]:
    """Intersection over union and EIoU loss (arXiv 2101.08158) of boxes around the same points.

    Both are (..., 4): distances to left, top, right, bottom.
    """
    inner, outer = ops.minimum(a, b), ops.maximum(a, b)
    shared = (inner[..., 0] + inner[..., 2]) * (inner[..., 1] + inner[..., 3])
    width, height = outer[..., 0] + outer[..., 2], outer[..., 1] + outer[..., 3]
    a_width, a_height = a[..., 0] + a[..., 2], a[..., 1] + a[..., 3]
    b_width, b_height = b[..., 0] + b[..., 2], b[..., 1] + b[..., 3]
    epsilon = 1e-6
    overlap = shared / (a_width * a_height + b_width * b_height - shared + epsilon)
    x = (a[..., 2] - a[..., 0] - b[..., 2] + b[..., 0]) / 2
    y = (a[..., 3] - a[..., 1] - b[..., 3] + b[..., 1]) / 2
    distance = (ops.square(x) + ops.square(y)) / (ops.square(width) + ops.square(height) + epsilon)
    shape = ops.square((a_width - b_width) / (width + epsilon)) + ops.square((a_height - b_height) / (height + epsilon))
    return overlap, 1 - overlap + distance + shape


def classifier_loss(targets: Any, outputs: Any, recipe: Recipe) -> Any:
    """Cross-entropy with the probabilities of the classes (B, classes), which soft labels may spread."""
    losses = keras.losses.categorical_crossentropy(
        targets, outputs["logits"], from_logits=True, label_smoothing=recipe.label_smoothing
    )
    return ops.mean(losses)


def cnn256_loss(targets: Any, outputs: Any, recipe: Recipe) -> Any:
    """Binary cross-entropy; `targets` (B, 2) are the probabilities of both classes."""
    return ops.mean(_binary_cross_entropy(targets[:, 1], outputs["score"][:, 0]))


def vgg16_loss(targets: Any, outputs: Any, recipe: Recipe) -> dict[str, Any]:
    """Half the cross-entropy of the score, and squared errors of the corner and of the size, summed over the batch.

    `targets` (B, 5) come from `box_encoding.encode_single`. An image without a face has a box of zeros.
    """
    truth, box = targets[:, 1:], outputs["box"]
    corner = ops.square(truth[:, :2] - box[:, :2])
    size = ops.square((truth[:, 2:] - truth[:, :2]) - (box[:, 2:] - box[:, :2]))
    score_loss = ops.mean(_binary_cross_entropy(targets[:, 0], outputs["score"][:, 0]))
    return {"score": score_loss / 2, "box": recipe.box_loss_weight * ops.sum(corner + size)}


def _binary_cross_entropy(truth: Any, score: Any) -> Any:
    score = ops.clip(score, 1e-7, 1 - 1e-7)
    return -truth * ops.log(score) - (1 - truth) * ops.log(1 - score)
