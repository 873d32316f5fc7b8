"""The face data set: boxes from disk, in COCO's form or labelme's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.camera.session_name import parse_session_name
from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.vision.box_encoding import encode, encode_single
from pocketsight.device.vision.boxes import Boxes
from pocketsight.device.vision.image import Image, list_images, read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.datasets.augmentation import build_augmentation, random_crop
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, read_upright_size
from pocketsight.train.datasets.formats.coco import coco_split, read_coco
from pocketsight.train.datasets.formats.labelme import read_labelme_image
from pocketsight.train.datasets.loader import Batch
from pocketsight.train.recipe import Recipe

NO_BOXES = np.empty((0, 4), np.float32)
CACHE_BYTES = 1_000_000_000  # bytes of decoded pictures in the memory of each process that makes batches


@dataclass(frozen=True)
class DetectionSample:
    """One picture and its boxes, in pixels of the file. `ignore` marks what is neither face nor background."""

    path: Path
    boxes: Boxes  # (N, 4)
    ignored_boxes: Boxes = field(default_factory=lambda: NO_BOXES)  # (M, 4)
    group: str = ""  # pictures of one group are never split between training and validation
    size: tuple[int, int] | None = None  # height, width that the labels speak of
    source: str = ""  # which collection, folder or session it came from
    mask_states: tuple[int, ...] = ()  # of each box: 1: the face wears a mask, 0: it is bare, -1: nobody says

    def read(self) -> Image:
        """The picture. Raises DataError when it cannot be read or is not the one that was labelled."""
        image = read_image(self.path)
        if self.size and image.shape[:2] != self.size:
            found, labelled = (f"{width}x{height}" for height, width in (image.shape[:2], self.size))
            raise DataError(f"{self.path} is {found}, but its labels are for {labelled}; was it resized or turned?")
        return image


@dataclass(frozen=True)
class DetectionDataset:
    """A data set: examples by part ("train", "val", "test"), and what the boxes hold."""

    splits: dict[str, list[DetectionSample]]
    label: str


def read_detection_dataset(data: Path) -> DetectionDataset:
    """Read a COCO file, or a folder {train,val,test}/{images,labels} with labelme files.

    A COCO file is one part, "train" if its name says nothing else. Raises DataError, naming file and box.
    """
    if data.suffix == ".json":
        examples, label = _load_coco(data)
        return DetectionDataset({coco_split(data): examples}, label)
    if not data.is_dir():
        raise DataError(f"{data} is neither a folder nor a COCO .json file")
    folders = [data / part for part in ("train", "val", "test") if (data / part / "images").is_dir()]
    if not folders and (data / "images").is_dir():
        folders = [data]
    labels: set[str] = set()
    parts = {f.name if f != data else "train": _load_labelme(f, labels) for f in folders}
    if not any(parts.values()):
        raise DataError(f"{data} holds no pictures; expected images/ and labels/, alone or in train/, val/ and test/")
    if len(labels) > 1:
        raise DataError(f"{data} has boxes labelled {', '.join(sorted(labels))}; a detector learns one kind of object")
    return DetectionDataset(parts, labels.pop() if labels else "face")


def _load_coco(path: Path) -> tuple[list[DetectionSample], str]:
    pictures = read_coco(path, path.parent)
    if not pictures:
        raise DataError(f"{path} lists no pictures")
    for picture in pictures:
        if not picture.path.is_file():
            raise DataError(f"{path} lists {picture.path}, which does not exist")
    used = {mark.label for picture in pictures for mark in picture.annotations}
    if len(used) > 1:
        raise DataError(f"{path} has boxes of {', '.join(sorted(used))}; a detector learns one kind of object")
    return [_to_sample(picture) for picture in pictures], used.pop() if used else "face"


def _to_sample(image: AnnotatedImage) -> DetectionSample:
    """Raises DataError on a box that cannot be learned."""
    size = image.size or read_upright_size(image.path)
    boxes, ignore = (
        np.array([_clip_box(mark, size) for mark in marks], np.float32).reshape(-1, 4)
        for marks in (image.objects, image.ignored)
    )
    group = image.group or parse_session_name(image.path.name) or ""
    masked = tuple(mark.mask_state for mark in image.objects)
    return DetectionSample(image.path, boxes, ignore, group, size, image.source or _default_source(image.path), masked)


def _default_source(path: Path) -> str:
    """Where a picture is from when nobody says: its own folder, or the session that took it."""
    return path.parent.name if path.parent.name != "images" else parse_session_name(path.name) or ""


def _load_labelme(folder: Path, labels: set[str]) -> list[DetectionSample]:
    """Pictures of images/, boxes of the file of the same name in labels/; a picture without one has no face."""
    examples: dict[Path, DetectionSample] = {}
    for path in list_images(folder / "images"):
        key = path.relative_to(folder / "images").with_suffix("")
        if key in examples:
            raise DataError(f"{path} and {examples[key].path.name} would share one label file; rename one")
        examples[key] = DetectionSample(
            path, NO_BOXES, group=parse_session_name(path.name) or "", source=_default_source(path)
        )
    for file in sorted((folder / "labels").rglob("*.json")):
        key = file.relative_to(folder / "labels").with_suffix("")
        if key not in examples:
            raise DataError(f"{file} labels a picture that is not in {folder / 'images'}")
        picture = read_labelme_image(examples[key].path, file)
        labels |= {mark.label for mark in picture.annotations}
        examples[key] = _to_sample(picture)
    return list(examples.values())


def _clip_box(annotation: Annotation, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box clipped to its picture. Raises DataError when nothing of it is left."""
    (left, top, right, bottom), (height, width) = annotation.box, size
    if right - left <= 0 or bottom - top <= 0:
        raise DataError(f"{annotation.location} is a box of no area: {annotation.box}")
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise DataError(f"{annotation.location} lies outside its picture of {width}x{height}: {annotation.box}")
    return max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)


def encode_target(boxes: Boxes, ignore: Boxes, size: tuple[int, int], spec: ModelSpec) -> NDArray[np.float32]:
    """What the net is to say of a picture of `size`: (cells, 5), or (5,) where it finds one box."""
    return encode(boxes, ignore, size, spec.strides) if spec.strides else encode_single(boxes, size)


def keep_single_object(dataset: DetectionDataset) -> tuple[DetectionDataset, int]:
    """The pictures with one face or none, and nothing to ignore; how many were left out."""
    parts = {
        part: [e for e in examples if len(e.boxes) <= 1 and not len(e.ignored_boxes)]
        for part, examples in dataset.splits.items()
    }
    left_out = sum(len(examples) - len(parts[part]) for part, examples in dataset.splits.items())
    return DetectionDataset(parts, dataset.label), left_out


@dataclass(frozen=True)
class DetectionBatches:
    """Augmented batches for the detector, the same for the same step. Runs in worker processes."""

    samples: list[DetectionSample]
    spec: ModelSpec
    recipe: Recipe
    low_res: bool = False  # small windows, as for the beginning of a training

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of its pictures."""
        if not self.low_res:
            return self.spec.input_size
        step = max(self.spec.strides)
        height, width = (max(1, side // 2 // step) * step for side in self.spec.input_size)
        return height, width

    @cached_property
    def positives_and_negatives(self) -> tuple[list[DetectionSample], list[DetectionSample]]:
        """Pictures with faces, and without; if there are only such, they count as the first."""
        full = [e for e in self.samples if len(e.boxes)]
        empty = [e for e in self.samples if not len(e.boxes)]
        return (full, empty) if full else (empty, [])

    @cached_property
    def cumulative_weights(self) -> Any:
        """Cumulative: a picture is drawn as often as the root of its number of faces, since crowds teach more.

        Where masked and bare faces are told apart, one of the rarer kind counts more, by the root too.
        """
        kinds = [e.mask_states or (-1,) * len(e.boxes) for e in self.positives_and_negatives[0]]
        count = Counter(kind for of_one in kinds for kind in of_one)
        most = max(count.values(), default=1)
        weight = np.sqrt([max(1, sum((most / count[kind]) ** 0.5 for kind in of_one)) for of_one in kinds])
        return np.cumsum(weight) / weight.sum()

    @cached_property
    def image_cache(self) -> dict[Path, Image]:
        """Pictures that were decoded once, about KEPT bytes in a process."""
        return {}

    def read_cached(self, sample: DetectionSample) -> Image:
        image = self.image_cache.get(sample.path)
        if image is None:
            image = sample.read()
            if len(self.image_cache) * image.nbytes < CACHE_BYTES:
                self.image_cache[sample.path] = image
        return image

    @cached_property
    def augmentation(self) -> Any:
        return build_augmentation(self.recipe)

    def augment(self, sample: DetectionSample, rng: np.random.Generator) -> tuple[Image, Boxes, Boxes]:
        """One augmented picture with its faces and its regions to ignore."""
        part = self.image_size[1] / self.spec.input_size[1]
        image, boxes, ignore = random_crop(
            self.read_cached(sample), sample.boxes, sample.ignored_boxes, self.image_size, self.recipe, rng, part
        )
        return self.augmentation(image=image)["image"], boxes, ignore

    def __call__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.recipe.seed, step])
        self.augmentation.set_random_seed(int(rng.integers(2**31)))
        full, empty = self.positives_and_negatives
        images: list[Image] = []
        targets, skipped = [], []
        while len(images) < self.recipe.batch_size:
            if empty and rng.random() < self.recipe.negative_share:
                example = empty[rng.integers(len(empty))]
            else:
                example = full[int(np.searchsorted(self.cumulative_weights, rng.random(), side="right"))]
            try:
                image, boxes, ignore = self.augment(example, rng)
            except DataError as error:
                skipped.append(str(error))
                if len(skipped) > max(100, 10 * self.recipe.batch_size):
                    raise DataError(f"hardly any picture can be read; the last: {error}") from error
                continue
            images.append(image)
            targets.append(encode_target(boxes, ignore, self.image_size, self.spec))
        return Batch(np.stack(images), np.stack(targets), skipped)


def validation_batch(samples: list[DetectionSample], spec: ModelSpec) -> Batch:
    """The examples as the board would see them, in one batch; for validation."""
    images, targets, skipped = [], [], []
    for example in samples:
        try:
            image, scale = letterbox(example.read(), spec.input_size)
        except DataError as error:
            skipped.append(str(error))
            continue
        boxes, ignore = example.boxes * np.float32(scale), example.ignored_boxes * np.float32(scale)
        images.append(image)
        targets.append(encode_target(boxes, ignore, spec.input_size, spec))
    if not images:
        raise DataError(f"none of {len(samples)} pictures can be read; {skipped[0] if skipped else 'there are none'}")
    return Batch(np.stack(images), np.stack(targets), skipped)
