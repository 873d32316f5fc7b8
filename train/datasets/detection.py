"""The detection data set: images and boxes from COCO or labelme files, or from shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pocketsight.device.camera.session_name import parse_session_name
from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import list_images
from pocketsight.device.vision.image_kinds import list_unread_images
from pocketsight.train.console import log_unread_images
from pocketsight.train.datasets.coco_table import read_coco_table
from pocketsight.train.datasets.detection_sample import NO_BOXES, DetectionSample, default_source
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, read_upright_size, require_boxes
from pocketsight.train.datasets.formats.coco import coco_split, import_images_hint, read_own_coco
from pocketsight.train.datasets.formats.detect import import_hint
from pocketsight.train.datasets.formats.labelme import read_labelme_image
from pocketsight.train.datasets.formats.layout import index_by_label_name
from pocketsight.train.datasets.sample_table import SampleTable
from pocketsight.train.datasets.shards import list_shards, read_detection_shards
from pocketsight.train.datasets.splits import list_split_folders, require_no_inner_splits

DEFAULT_LABELS = ("face",)  # of data without a box


@dataclass(frozen=True)
class DetectionDataset:
    """Samples by split ("train", "val", "test"), and the labels of the boxes: the kind of a box is an index of them."""

    splits: Mapping[str, Sequence[DetectionSample]]
    labels: tuple[str, ...]


def read_detection_dataset(data: Path, labels: Sequence[str] = ()) -> DetectionDataset:
    """Read a COCO file, a folder {train,val,test}/{images,labels} with labelme files, or shards (see `list_shards`).

    `labels` chooses and orders the labels of the boxes; without it all are taken, in alphabetical order. A COCO file is
    one split, by its name (see `coco_split`). Raises DataError, naming file and box, or a label that no box has.
    """
    dataset = _read_all_labels(data)
    return choose_labels(dataset, labels, data) if labels else dataset


def read_detection_datasets(data: Sequence[Path], labels: Sequence[str] = ()) -> DetectionDataset:
    """Several data sets as one, each as `read_detection_dataset` reads it: the labels of all, split by split."""
    if len(data) == 1:
        return read_detection_dataset(data[0], labels)
    parts = [_read_all_labels(path) for path in data]
    together = tuple(sorted({label for part in parts for label in part.labels}))
    splits: dict[str, list[DetectionSample]] = {}
    for part in parts:
        for split, samples in _with_labels(part, together).splits.items():
            splits.setdefault(split, []).extend(samples)
    tables: dict[str, Sequence[DetectionSample]] = {
        split: SampleTable.from_samples(samples) for split, samples in splits.items()
    }
    dataset = DetectionDataset(tables, together)
    return choose_labels(dataset, labels, data[0]) if labels else dataset


def choose_labels(dataset: DetectionDataset, labels: Sequence[str], origin: Path) -> DetectionDataset:
    """The data set with only these labels, in this order: other boxes are background.

    Raises DataError when no box has one of the labels; `origin` is for its message.
    """
    if len(set(labels)) < len(labels):
        raise DataError(f"a label is given twice: {', '.join(labels)}")
    if missing := [label for label in labels if label not in dataset.labels]:
        known = ", ".join(dataset.labels)
        raise DataError(f"{origin} has no box of {', '.join(missing)}; its labels are {known}")
    return _with_labels(dataset, tuple(labels))


def _with_labels(dataset: DetectionDataset, labels: tuple[str, ...]) -> DetectionDataset:
    """The data set with these labels, in this order; boxes of other labels are left out."""
    if labels == dataset.labels:
        return dataset
    new_kinds = np.array([labels.index(label) if label in labels else -1 for label in dataset.labels], np.int16)
    splits: dict[str, Sequence[DetectionSample]] = {
        split: SampleTable.from_samples(samples).relabel(new_kinds) for split, samples in dataset.splits.items()
    }
    return DetectionDataset(splits, labels)


def read_samples_for(data: Path, labels: tuple[str, ...]) -> DetectionDataset:
    """Read data for a detector of `labels`. Raises DataError when none of its boxes has one of them.

    Data with a single label fits a detector of one kind, whatever the label is called.
    """
    dataset = _read_all_labels(data)
    if len(labels) == 1 and len(dataset.labels) == 1:
        return DetectionDataset(dataset.splits, labels)
    if not set(labels) & set(dataset.labels):
        raise DataError(f"{data} has boxes of {', '.join(dataset.labels)}, but the detector finds {', '.join(labels)}")
    return _with_labels(dataset, labels)


def _read_all_labels(data: Path) -> DetectionDataset:
    if data.suffix == ".json":
        samples, labels = _load_coco(data)
        return DetectionDataset({coco_split(data): samples}, labels)
    shards = list_shards(data)
    if not data.is_dir() and not shards:
        raise DataError(f"{data} is neither a folder, a COCO .json file nor a .tar file")
    folders = [(split, folder) for split, folder in list_split_folders(data) if (folder / "images").is_dir()]
    if not folders and (data / "images").is_dir():
        folders = [("train", data)]
    kinds: dict[str, int] = {}
    splits: dict[str, list[DetectionSample]] = {}
    for split, images in read_detection_shards(shards).items() if not folders else ():
        splits[split] = [_to_sample(image, kinds) for image in images]
    for split, folder in folders:
        splits.setdefault(split, []).extend(_load_labelme(folder, kinds))
    if not any(splits.values()):
        raise DataError(
            f"{data} has no images; expected images/ and labels/, directly or in train/, val/ and test/"
            f"{import_hint(data)}"
        )
    has_labelme_files = any(True for _, folder in folders for _ in (folder / "labels").rglob("*.json"))
    if not kinds and not has_labelme_files and (hint := import_hint(data)):
        raise DataError(f"{data} has no labels of labelme{hint}")
    tables: dict[str, Sequence[DetectionSample]] = {
        split: SampleTable.from_samples(samples) for split, samples in splits.items()
    }
    return _with_labels(DetectionDataset(tables, tuple(kinds)), tuple(sorted(kinds)) or DEFAULT_LABELS)


def _load_coco(path: Path) -> tuple[SampleTable, tuple[str, ...]]:
    if table := read_coco_table(path):
        return table[0], table[1] or DEFAULT_LABELS
    images = read_own_coco(path)
    if not images:
        raise DataError(f"{path} lists no images")
    for image in images:
        if not image.path.is_file():
            raise DataError(f"{path} lists {image.path}, which does not exist{import_images_hint(path)}")
    kinds = {label: n for n, label in enumerate(sorted({note.label for image in images for note in image.annotations}))}
    return SampleTable.from_samples([_to_sample(image, kinds) for image in images]), tuple(kinds) or DEFAULT_LABELS


def _to_sample(image: AnnotatedImage, kinds: dict[str, int]) -> DetectionSample:
    """`kinds` has the number of each label; new labels get the next one.

    Raises DataError when a box is empty or outside its image.
    """
    require_boxes(image.annotations)
    size = image.size or read_upright_size(image.path)
    boxes, ignore = (
        np.array([_clip_box(annotation, size) for annotation in annotations], np.float32).reshape(-1, 4)
        for annotations in (image.objects, image.ignored)
    )
    group = image.group or parse_session_name(image.path.name) or ""
    mask_states = tuple(annotation.mask_state for annotation in image.objects)
    source = image.source or default_source(image.path)
    for annotation in image.annotations:
        kinds.setdefault(annotation.label, len(kinds))
    numbers = tuple(kinds[annotation.label] for annotation in image.objects)
    return DetectionSample(image.path, boxes, ignore, group, size, source, mask_states, numbers)


def _load_labelme(folder: Path, kinds: dict[str, int]) -> list[DetectionSample]:
    """The images of images/ with the boxes of labels/. An image without a label file has no object.

    `kinds` are as in `_to_sample`.
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
        samples[name] = _to_sample(read_labelme_image(paths[name], file), kinds)
    return list(samples.values())


def _clip_box(annotation: Annotation, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box clipped to its image of `size` (height, width). Raises DataError when nothing is left."""
    (left, top, right, bottom), (height, width) = annotation.box, size
    if right - left <= 0 or bottom - top <= 0:
        raise DataError(f"{annotation.location} is a box of no area: {annotation.box}")
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise DataError(f"{annotation.location} is outside its image of {width}x{height}: {annotation.box}")
    return max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)


def keep_single_object(dataset: DetectionDataset) -> tuple[DetectionDataset, int]:
    """The samples with at most one box and nothing to ignore, and the number of removed samples."""
    splits: dict[str, Sequence[DetectionSample]] = {}
    for split, samples in dataset.splits.items():
        table = SampleTable.from_samples(samples)
        splits[split] = table.select((table.object_counts <= 1) & (table.ignored_counts == 0))
    removed = sum(map(len, dataset.splits.values())) - sum(map(len, splits.values()))
    return DetectionDataset(splits, dataset.labels), removed
