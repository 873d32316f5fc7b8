"""The detection data set: images and boxes from COCO or labelme files, and batches of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.camera.session_name import parse_session_name
from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.vision.box_encoding import encode_batch, encode_single
from pocketsight.device.vision.boxes import Boxes
from pocketsight.device.vision.image import Image, list_images, read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.device.vision.resize import resize
from pocketsight.train.datasets.augmentation import random_crop
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, read_upright_size
from pocketsight.train.datasets.formats.coco import coco_split, read_coco
from pocketsight.train.datasets.formats.labelme import read_labelme_image
from pocketsight.train.datasets.formats.layout import index_by_label_name
from pocketsight.train.datasets.image_cache import ImageCache
from pocketsight.train.datasets.loader import Batch, Example, fill_batch, read_batch
from pocketsight.train.datasets.photometric import PhotoEffect, build_augmentation
from pocketsight.train.datasets.splits import SPLITS
from pocketsight.train.recipe import Recipe

NO_BOXES = np.empty((0, 4), np.float32)


@dataclass(frozen=True)
class DetectionSample:
    """One image and its boxes, in px of the upright image."""

    path: Path
    boxes: Boxes  # (N, 4)
    ignored_boxes: Boxes = field(default_factory=lambda: NO_BOXES)  # (M, 4), neither object nor background
    group: str = ""  # images of one group are never split between training and validation
    size: tuple[int, int] | None = None  # height, width of the image when it was labeled
    source: str = ""  # its collection, folder or capture session
    mask_states: tuple[int, ...] = ()  # for each box: 1 with a mask, 0 without, -1 unknown

    def read(self, jpeg_reduction: int = 1) -> Image:
        """The image (H, W, 3), a JPEG smaller by the given factor (`read_image`).

        Raises DataError when it cannot be read or has another size than its labels.
        """
        image = read_image(self.path, jpeg_reduction)
        if self.size and image.shape[:2] not in (self.size, reduced_size(self.size, jpeg_reduction)):
            image = read_image(self.path)
            actual, labeled = (f"{width}x{height}" for height, width in (image.shape[:2], self.size))
            raise DataError(f"{self.path} is {actual}, but its labels are for {labeled}; was it resized or rotated?")
        return image


def reduced_size(size: tuple[int, int], reduction: int) -> tuple[int, int]:
    """Height and width divided by a factor, rounded up."""
    return -(-size[0] // reduction), -(-size[1] // reduction)


@dataclass(frozen=True)
class DetectionDataset:
    """Samples by split ("train", "val", "test"), and the label of the boxes."""

    splits: dict[str, list[DetectionSample]]
    label: str


def read_detection_dataset(data: Path) -> DetectionDataset:
    """Read a COCO file, or a folder {train,val,test}/{images,labels} with labelme files.

    A COCO file is one split, by its name (see `coco_split`). Raises DataError, naming file and box.
    """
    if data.suffix == ".json":
        samples, label = _load_coco(data)
        return DetectionDataset({coco_split(data): samples}, label)
    if not data.is_dir():
        raise DataError(f"{data} is neither a folder nor a COCO .json file")
    folders = [data / split for split in SPLITS if (data / split / "images").is_dir()]
    if not folders and (data / "images").is_dir():
        folders = [data]
    labels: set[str] = set()
    splits = {f.name if f != data else "train": _load_labelme(f, labels) for f in folders}
    if not any(splits.values()):
        raise DataError(f"{data} has no images; expected images/ and labels/, directly or in train/, val/ and test/")
    return DetectionDataset(splits, _single_label(labels, data))


def _single_label(labels: set[str], data: Path) -> str:
    """The one label of the boxes, or "face" without boxes. Raises DataError when there are several."""
    if len(labels) > 1:
        raise DataError(f"{data} has boxes of {', '.join(sorted(labels))}; a detector learns one kind of object")
    return next(iter(labels), "face")


def _load_coco(path: Path) -> tuple[list[DetectionSample], str]:
    images = read_coco(path, path.parent)
    if not images:
        raise DataError(f"{path} lists no images")
    for image in images:
        if not image.path.is_file():
            raise DataError(f"{path} lists {image.path}, which does not exist")
    label = _single_label({annotation.label for image in images for annotation in image.annotations}, path)
    return [_to_sample(image) for image in images], label


def _to_sample(image: AnnotatedImage) -> DetectionSample:
    """Raises DataError when a box is empty or outside its image."""
    size = image.size or read_upright_size(image.path)
    boxes, ignore = (
        np.array([_clip_box(annotation, size) for annotation in annotations], np.float32).reshape(-1, 4)
        for annotations in (image.objects, image.ignored)
    )
    group = image.group or parse_session_name(image.path.name) or ""
    mask_states = tuple(annotation.mask_state for annotation in image.objects)
    source = image.source or _default_source(image.path)
    return DetectionSample(image.path, boxes, ignore, group, size, source, mask_states)


def _default_source(path: Path) -> str:
    """The source of an image without one in its file: its folder, or its capture session."""
    return path.parent.name if path.parent.name != "images" else parse_session_name(path.name) or ""


def _load_labelme(folder: Path, labels: set[str]) -> list[DetectionSample]:
    """The images of images/ with the boxes of labels/. An image without a label file has no object.

    The labels of the boxes are added to `labels`.
    """
    paths = index_by_label_name(list_images(folder / "images"), folder / "images")
    samples = {
        name: DetectionSample(path, NO_BOXES, group=parse_session_name(path.name) or "", source=_default_source(path))
        for name, path in paths.items()
    }
    for file in sorted((folder / "labels").rglob("*.json")):
        name = file.relative_to(folder / "labels").with_suffix("")
        if name not in samples:
            raise DataError(f"{file} labels an image that is not in {folder / 'images'}")
        image = read_labelme_image(paths[name], file)
        labels |= {annotation.label for annotation in image.annotations}
        samples[name] = _to_sample(image)
    return list(samples.values())


def _clip_box(annotation: Annotation, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box clipped to its image of `size` (height, width). Raises DataError when nothing is left."""
    (left, top, right, bottom), (height, width) = annotation.box, size
    if right - left <= 0 or bottom - top <= 0:
        raise DataError(f"{annotation.location} is a box of no area: {annotation.box}")
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise DataError(f"{annotation.location} is outside its image of {width}x{height}: {annotation.box}")
    return max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)


def encode_targets(
    boxes_and_ignored: Sequence[tuple[Boxes, Boxes]], size: tuple[int, int], spec: ModelSpec
) -> NDArray[np.float32]:
    """The targets of images of `size` (height, width) from the boxes and the boxes to ignore of each.

    (B, cells, 5), or (B, 5) of a network that finds one box.
    """
    boxes, ignored = zip(*boxes_and_ignored, strict=True)
    if spec.strides:
        return encode_batch(boxes, ignored, size, spec.strides)
    return np.stack([encode_single(each, size) for each in boxes])


def keep_single_object(dataset: DetectionDataset) -> tuple[DetectionDataset, int]:
    """The samples with at most one box and nothing to ignore, and the number of removed samples."""
    splits = {
        split: [sample for sample in samples if len(sample.boxes) <= 1 and not len(sample.ignored_boxes)]
        for split, samples in dataset.splits.items()
    }
    removed = sum(map(len, dataset.splits.values())) - sum(map(len, splits.values()))
    return DetectionDataset(splits, dataset.label), removed


@dataclass(frozen=True)
class DetectionBatches:
    """Augmented batches for the detector; the same step gives the same batch. Runs in worker processes."""

    samples: list[DetectionSample]
    spec: ModelSpec
    recipe: Recipe
    low_res: bool = False  # half the height and width, for the first part of a training
    cache: ImageCache | None = None  # of the decoded images, by the index of their sample

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images of its batches."""
        if not self.low_res:
            return self.spec.input_size
        step = max(self.spec.strides)
        height, width = (max(1, side // 2 // step) * step for side in self.spec.input_size)
        return height, width

    @cached_property
    def positives_and_negatives(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Indices of the samples with and without boxes. If no sample has boxes, all count as positives."""
        has_boxes = np.array([len(sample.boxes) > 0 for sample in self.samples])
        positives, negatives = np.flatnonzero(has_boxes), np.flatnonzero(~has_boxes)
        return (positives, negatives) if len(positives) else (negatives, positives)

    @cached_property
    def cumulative_weights(self) -> Any:
        """(P,): cumulative sampling weights of the positives; the last is 1.

        The weight is the square root of the number of faces. If the mask states are known, a face of a rarer state
        counts more, by the square root too.
        """
        positives = (self.samples[index] for index in self.positives_and_negatives[0])
        states = [sample.mask_states or (-1,) * len(sample.boxes) for sample in positives]
        counts = Counter(state for own_states in states for state in own_states)
        largest = max(counts.values(), default=1)
        weights = np.sqrt([max(1, sum((largest / counts[state]) ** 0.5 for state in own)) for own in states])
        return np.cumsum(weights) / weights.sum()

    def reduction(self, size: tuple[int, int]) -> int:
        """1, 2, 4 or 8: by how much an image of `size` may shrink before its smallest window is magnified."""
        height, width = self.spec.input_size
        narrowest = max(size[1], size[0] * width / height) * self.recipe.scale_range[0]
        if self.recipe.square_window:
            narrowest = min(size) * self.recipe.square_window
        return max(1, min(8, 2 ** math.floor(math.log2(max(1.0, narrowest / width)))))

    def read(self, index: int) -> Image:
        """The decoded image of a sample, reduced by `reduction` if its size is known. Raises DataError."""
        image = self.cache.get(index) if self.cache else None
        if image is None:
            sample = self.samples[index]
            reduction = self.reduction(sample.size) if sample.size else 1
            image = sample.read(reduction)
            if sample.size:
                image = resize(image, reduced_size(sample.size, reduction))  # if it is no JPEG
            if self.cache:
                self.cache.put(index, image)
        return image

    @cached_property
    def augmentation(self) -> PhotoEffect:
        """The change of light and image quality of the recipe."""
        return build_augmentation(self.recipe)

    def augment(self, sample: DetectionSample, image: Image, rng: np.random.Generator) -> tuple[Image, Boxes, Boxes]:
        """An augmented version of an image, its boxes (N, 4) and its boxes to ignore (M, 4), in px of that version.

        `image` is that of the sample, perhaps reduced.
        """
        boxes, ignore = sample.boxes, sample.ignored_boxes
        if sample.size and sample.size != image.shape[:2]:
            scale = np.array([image.shape[1] / sample.size[1], image.shape[0] / sample.size[0]] * 2, np.float32)
            boxes, ignore = boxes * scale, ignore * scale
        input_scale = self.image_size[1] / self.spec.input_size[1]
        image, boxes, ignore = random_crop(image, boxes, ignore, self.image_size, self.recipe, rng, input_scale)
        return self.augmentation(image, rng), boxes, ignore

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.recipe.seed, step])
        positives, negatives = self.positives_and_negatives

        def draw() -> Example:
            if len(negatives) and rng.random() < self.recipe.negative_share:
                index = negatives[rng.integers(len(negatives))]
            else:
                index = positives[int(np.searchsorted(self.cumulative_weights, rng.random(), side="right"))]
            image, boxes, ignore = self.augment(self.samples[index], self.read(int(index)), rng)
            return image, (boxes, ignore)

        return fill_batch(draw, self.recipe.batch_size, self.encode_targets)

    def encode_targets(self, boxes_and_ignored: Sequence[tuple[Boxes, Boxes]]) -> NDArray[np.float32]:
        """The targets (B, ...) of the boxes and the boxes to ignore of each image."""
        return encode_targets(boxes_and_ignored, self.image_size, self.spec)


def validation_batch(samples: list[DetectionSample], spec: ModelSpec) -> Batch:
    """All samples in one batch, letterboxed as on the board, not augmented. Raises DataError if none is readable."""

    def read(sample: DetectionSample) -> Example:
        image, scale = letterbox(sample.read(), spec.input_size)
        return image, (sample.boxes * np.float32(scale), sample.ignored_boxes * np.float32(scale))

    return read_batch(samples, read, lambda boxes: encode_targets(boxes, spec.input_size, spec))
