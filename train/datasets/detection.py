"""The detection data set: images and boxes from COCO or labelme files, and batches of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from pocketsight.device.vision.image import Image, list_images
from pocketsight.device.vision.image_kinds import list_unread_images
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.device.vision.resize import resize
from pocketsight.train.console import log_unread_images
from pocketsight.train.datasets.augmentation import Placement, place_boxes, random_crop
from pocketsight.train.datasets.coco_table import read_coco_table
from pocketsight.train.datasets.detection_sample import NO_BOXES, DetectionSample, default_source, reduced_size
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, read_upright_size, require_boxes
from pocketsight.train.datasets.formats.coco import coco_split, import_images_hint, read_own_coco
from pocketsight.train.datasets.formats.detect import import_hint
from pocketsight.train.datasets.formats.labelme import read_labelme_image
from pocketsight.train.datasets.formats.layout import index_by_label_name
from pocketsight.train.datasets.image_cache import ImageCache
from pocketsight.train.datasets.loader import Batch, Example, fill_batch, read_batch
from pocketsight.train.datasets.mosaic import mosaic
from pocketsight.train.datasets.photographs import old_photograph
from pocketsight.train.datasets.photometric import PhotoEffect, build_augmentation
from pocketsight.train.datasets.sample_table import SampleTable
from pocketsight.train.datasets.sampling import sampling_weights
from pocketsight.train.datasets.shards import list_shards, read_detection_shards
from pocketsight.train.datasets.splits import list_split_folders, require_no_inner_splits
from pocketsight.train.recipe import Recipe


@dataclass(frozen=True)
class DetectionDataset:
    """Samples by split ("train", "val", "test"), and the label of the boxes."""

    splits: Mapping[str, Sequence[DetectionSample]]
    label: str


def read_detection_dataset(data: Path) -> DetectionDataset:
    """Read a COCO file, a folder {train,val,test}/{images,labels} with labelme files, or shards (see `list_shards`).

    A COCO file is one split, by its name (see `coco_split`). Raises DataError, naming file and box.
    """
    if data.suffix == ".json":
        samples, label = _load_coco(data)
        return DetectionDataset({coco_split(data): samples}, label)
    shards = list_shards(data)
    if not data.is_dir() and not shards:
        raise DataError(f"{data} is neither a folder, a COCO .json file nor a .tar file")
    folders = [(split, folder) for split, folder in list_split_folders(data) if (folder / "images").is_dir()]
    if not folders and (data / "images").is_dir():
        folders = [("train", data)]
    labels: set[str] = set()
    splits: dict[str, list[DetectionSample]] = {}
    for split, images in read_detection_shards(shards).items() if not folders else ():
        labels |= {annotation.label for image in images for annotation in image.annotations}
        splits[split] = [_to_sample(image) for image in images]
    for split, folder in folders:
        splits.setdefault(split, []).extend(_load_labelme(folder, labels))
    if not any(splits.values()):
        raise DataError(
            f"{data} has no images; expected images/ and labels/, directly or in train/, val/ and test/"
            f"{import_hint(data)}"
        )
    if not labels and (hint := import_hint(data)):
        raise DataError(f"{data} has no labels of labelme{hint}")
    tables: dict[str, Sequence[DetectionSample]] = {
        split: SampleTable.from_samples(samples) for split, samples in splits.items()
    }
    return DetectionDataset(tables, _single_label(labels, data))


def _single_label(labels: set[str], data: Path) -> str:
    """The one label of the boxes, or "face" without boxes. Raises DataError when there are several."""
    if len(labels) > 1:
        raise DataError(f"{data} has boxes of {', '.join(sorted(labels))}; a detector learns one kind of object")
    return next(iter(labels), "face")


def _load_coco(path: Path) -> tuple[SampleTable, str]:
    if table := read_coco_table(path):
        return table
    images = read_own_coco(path)
    if not images:
        raise DataError(f"{path} lists no images")
    for image in images:
        if not image.path.is_file():
            raise DataError(f"{path} lists {image.path}, which does not exist{import_images_hint(path)}")
    label = _single_label({annotation.label for image in images for annotation in image.annotations}, path)
    return SampleTable.from_samples([_to_sample(image) for image in images]), label


def _to_sample(image: AnnotatedImage) -> DetectionSample:
    """Raises DataError when a box is empty or outside its image."""
    require_boxes(image.annotations)
    size = image.size or read_upright_size(image.path)
    boxes, ignore = (
        np.array([_clip_box(annotation, size) for annotation in annotations], np.float32).reshape(-1, 4)
        for annotations in (image.objects, image.ignored)
    )
    group = image.group or parse_session_name(image.path.name) or ""
    mask_states = tuple(annotation.mask_state for annotation in image.objects)
    source = image.source or default_source(image.path)
    return DetectionSample(image.path, boxes, ignore, group, size, source, mask_states)


def _load_labelme(folder: Path, labels: set[str]) -> list[DetectionSample]:
    """The images of images/ with the boxes of labels/. An image without a label file has no object.

    The labels of the boxes are added to `labels`.
    """
    require_no_inner_splits(folder / "images")
    log_unread_images(folder / "images")
    paths = index_by_label_name(list_images(folder / "images"), folder / "images")
    samples = {
        name: DetectionSample(path, NO_BOXES, group=parse_session_name(path.name) or "", source=default_source(path))
        for name, path in paths.items()
    }
    unread = {path.relative_to(folder / "images").with_suffix("") for path in list_unread_images(folder / "images")}
    for file in sorted((folder / "labels").rglob("*.json")):
        name = file.relative_to(folder / "labels").with_suffix("")
        if name in unread:
            continue
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
    splits: dict[str, Sequence[DetectionSample]] = {}
    for split, samples in dataset.splits.items():
        table = SampleTable.from_samples(samples)
        splits[split] = table.select((table.object_counts <= 1) & (table.ignored_counts == 0))
    removed = sum(map(len, dataset.splits.values())) - sum(map(len, splits.values()))
    return DetectionDataset(splits, dataset.label), removed


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
        return crop, Placement(sample.boxes, sample.ignored_boxes, matrix, (0, 0, size[1], size[0]))

    def change_look(self, image: Image, rng: np.random.Generator) -> Image:
        """The image with other light, color and quality, at random."""
        if self.recipe.photograph_prob and rng.random() < self.recipe.photograph_prob:
            image = old_photograph(image, rng)
        return self.augmentation(image, rng)

    def augment(self, sample: DetectionSample, rng: np.random.Generator) -> tuple[Image, Boxes, Boxes]:
        """One augmented image, its boxes (N, 4) and its boxes to ignore (M, 4), in px of that image."""
        image, placement = self.crop(sample, self.image_size, rng)
        return self.change_look(image, rng), *place_boxes([placement])[0]

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
        boxes_and_ignored = [join_boxes([next(placed) for _ in own]) for own in placements]
        return encode_targets(boxes_and_ignored, self.image_size, self.spec)


def join_boxes(parts: Sequence[tuple[Boxes, Boxes]]) -> tuple[Boxes, Boxes]:
    """All boxes, and all boxes to ignore, of parts of one image."""
    if len(parts) == 1:
        return parts[0]
    boxes, ignored = zip(*parts, strict=True)
    return np.concatenate(boxes), np.concatenate(ignored)


def validation_batch(samples: Sequence[DetectionSample], spec: ModelSpec) -> Batch:
    """All samples in one batch, letterboxed as on the board, not augmented. Raises DataError if none is readable."""

    def read(sample: DetectionSample) -> Example:
        image, scale = letterbox(sample.read(), spec.input_size)
        return image, (sample.boxes * np.float32(scale), sample.ignored_boxes * np.float32(scale))

    return read_batch(samples, read, lambda boxes: encode_targets(boxes, spec.input_size, spec))
