"""Augmented batches of a detection data set, and the targets of its images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.vision.box_encoding import encode_batch, encode_single
from pocketsight.device.vision.boxes import Boxes
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.device.vision.resize import resize
from pocketsight.train.datasets.augmentation import PlacedBoxes, Placement, place_boxes, random_crop
from pocketsight.train.datasets.detection_sample import DetectionSample, reduced_size
from pocketsight.train.datasets.image_cache import ImageCache
from pocketsight.train.datasets.loader import Batch, Example, fill_batch, read_batch
from pocketsight.train.datasets.mosaic import mosaic
from pocketsight.train.datasets.photographs import old_photograph
from pocketsight.train.datasets.photometric import PhotoEffect, build_augmentation
from pocketsight.train.datasets.sample_table import SampleTable
from pocketsight.train.datasets.sampling import sampling_weights
from pocketsight.train.recipe import Recipe


def encode_targets(labeled: Sequence[PlacedBoxes], size: tuple[int, int], spec: ModelSpec) -> NDArray[np.float32]:
    """The targets of images of `size` (height, width) from the boxes, the boxes to ignore and the kinds of each.

    (B, cells, 5), or (B, 5) of a network that finds one box.
    """
    boxes, ignored, kinds = zip(*labeled, strict=True)
    if spec.strides:
        return encode_batch(boxes, ignored, size, spec.strides, kinds if len(spec.labels) > 1 else None)
    return np.stack([encode_single(each, size) for each in boxes])


@dataclass(frozen=True)
class DetectionBatches:
    """Augmented batches for the detector; the same step gives the same batch. Runs in worker processes."""

    samples: Sequence[DetectionSample]
    spec: ModelSpec
    recipe: Recipe
    low_res: bool = False  # half the height and width, for the first part of a training
    rows: range | None = None  # of each batch; None: all. Other processes make the others
    cache: ImageCache | None = None  # of the decoded images, by the number of their sample

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images of its batches."""
        if not self.low_res:
            return self.spec.input_size
        step = max(self.spec.strides)
        height, width = (max(1, side // 2 // step) * step for side in self.spec.input_size)
        return height, width

    @cached_property
    def positives_and_negatives(self) -> tuple[SampleTable, SampleTable]:
        """Samples with and without boxes. If no sample has boxes, all count as positives."""
        table = SampleTable.from_samples(self.samples)
        has_boxes = table.object_counts > 0
        return (table.select(has_boxes), table.select(~has_boxes)) if has_boxes.any() else (table, table[:0])

    @cached_property
    def cumulative_weights(self) -> Any:
        """(P,): cumulative sampling weights of the positives; the last is 1."""
        return np.cumsum(sampling_weights(self.positives_and_negatives[0], self.recipe.source_balance))

    def reduction(self, size: tuple[int, int]) -> int:
        """1, 2, 4 or 8: by how much an image of `size` may shrink before its smallest window is magnified."""
        height, width = self.spec.input_size
        narrowest = max(size[1], size[0] * width / height) * self.recipe.scale_range[0]
        if self.recipe.square_window:
            narrowest = min(size) * self.recipe.square_window
        return min(8, 1 << int(math.log2(max(1.0, narrowest / width))))

    def read(self, sample: DetectionSample) -> Image:
        """The decoded image, reduced by `reduction` if its size is known. Raises DataError."""
        cache = self.cache if sample.number >= 0 else None
        image = cache.get(sample.number) if cache else None
        if image is None:
            reduction = self.reduction(sample.size) if sample.size else 1
            image = sample.read(reduction)
            if sample.size:
                image = resize(image, reduced_size(sample.size, reduction))  # if it is no JPEG
            if cache:
                cache.put(sample.number, image)
        return image

    @cached_property
    def augmentation(self) -> PhotoEffect:
        """The change of light and image quality of the recipe."""
        return build_augmentation(self.recipe)

    def draw(self, rng: np.random.Generator) -> DetectionSample:
        """A random sample, by the shares of the recipe."""
        positives, negatives = self.positives_and_negatives
        if negatives and rng.random() < self.recipe.negative_share:
            return negatives[int(rng.integers(len(negatives)))]
        return positives[int(np.searchsorted(self.cumulative_weights, rng.random(), side="right"))]

    def crop(self, sample: DetectionSample, size: tuple[int, int], rng: np.random.Generator) -> tuple[Image, Placement]:
        """A random window scaled to `size` (height, width), and where the boxes of the sample are in it."""
        image = self.read(sample)
        height, width = image.shape[:2]
        boxes, y_scale, x_scale = sample.boxes, 1.0, 1.0
        if sample.size and sample.size != (height, width):
            y_scale, x_scale = height / sample.size[0], width / sample.size[1]
            boxes = boxes * np.array([x_scale, y_scale] * 2, np.float32)
        input_scale = self.image_size[1] / self.spec.input_size[1]
        crop, (a, b, c, d, e, f) = random_crop(image, boxes, size, self.recipe, rng, input_scale)
        matrix = a * x_scale, b * y_scale, c, d * x_scale, e * y_scale, f
        area = 0, 0, size[1], size[0]
        return crop, Placement(sample.boxes, sample.ignored_boxes, matrix, area, sample.kind_array)

    def change_look(self, image: Image, rng: np.random.Generator) -> Image:
        """The image with other light, color and quality, at random."""
        if self.recipe.photograph_prob and rng.random() < self.recipe.photograph_prob:
            image = old_photograph(image, rng)
        return self.augmentation(image, rng)

    def augment(self, sample: DetectionSample, rng: np.random.Generator) -> tuple[Image, Boxes, Boxes]:
        """One augmented image, its boxes (N, 4) and its boxes to ignore (M, 4), in px of that image."""
        image, placement = self.crop(sample, self.image_size, rng)
        boxes, ignored, _ = place_boxes([placement])[0]
        return self.change_look(image, rng), boxes, ignored

    def __call__(self, step: int) -> Batch:
        def draw_example(rng: np.random.Generator) -> Example:
            if self.recipe.mosaic_prob and rng.random() < self.recipe.mosaic_prob:
                image, placements = mosaic(lambda size: self.crop(self.draw(rng), size, rng), self.image_size, rng)
            else:
                image, placement = self.crop(self.draw(rng), self.image_size, rng)
                placements = [placement]
            return self.change_look(image, rng), placements

        rows = self.rows or range(self.recipe.batch_size)
        return fill_batch(draw_example, self.recipe.seed, step, rows, self.encode_targets)

    def encode_targets(self, placements: Sequence[Sequence[Placement]]) -> NDArray[np.float32]:
        """The targets (B, ...) from the boxes of the one or four pictures in each image."""
        placed = iter(place_boxes([placement for own in placements for placement in own]))
        labeled = [join_boxes([next(placed) for _ in own]) for own in placements]
        return encode_targets(labeled, self.image_size, self.spec)


def join_boxes(parts: Sequence[PlacedBoxes]) -> PlacedBoxes:
    """All boxes, all boxes to ignore, and the kinds of the former, of parts of one image."""
    if len(parts) == 1:
        return parts[0]
    boxes, ignored, kinds = zip(*parts, strict=True)
    return np.concatenate(boxes), np.concatenate(ignored), np.concatenate(kinds)


def validation_batch(samples: Sequence[DetectionSample], spec: ModelSpec) -> Batch:
    """All samples in one batch, letterboxed as on the board, not augmented. Raises DataError if none is readable."""

    def read(sample: DetectionSample) -> Example:
        image, scale = letterbox(sample.read(), spec.input_size)
        boxes, ignored = sample.boxes * np.float32(scale), sample.ignored_boxes * np.float32(scale)
        return image, (boxes, ignored, sample.kind_array)

    return read_batch(samples, read, lambda boxes: encode_targets(boxes, spec.input_size, spec))
