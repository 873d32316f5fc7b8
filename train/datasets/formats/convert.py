"""`pocketsight data import`: converts a data set of another format to COCO, labelme or class folders."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.train.console import log_message, suggest_next
from pocketsight.train.datasets.formats import fer2013
from pocketsight.train.datasets.formats.base import AnnotatedImage, clip_boxes, filter_labels, require_images
from pocketsight.train.datasets.formats.coco import read_coco
from pocketsight.train.datasets.formats.createml import read_createml
from pocketsight.train.datasets.formats.cvat import read_cvat
from pocketsight.train.datasets.formats.detect import (
    FORMAT_NAMES,
    SINGLE_FILE_FORMATS,
    choose_format,
    detect_format,
    single_file,
)
from pocketsight.train.datasets.formats.import_summary import ImportSummary, pluralize, show_summary
from pocketsight.train.datasets.formats.label_studio import read_label_studio
from pocketsight.train.datasets.formats.labelme import read_labelme
from pocketsight.train.datasets.formats.orientation import settle_sizes
from pocketsight.train.datasets.formats.split_parts import choose_part, keep_split, list_root, select_listed
from pocketsight.train.datasets.formats.via import read_via
from pocketsight.train.datasets.formats.voc import read_voc
from pocketsight.train.datasets.formats.wider_face import read_wider_face
from pocketsight.train.datasets.formats.writers import require_new_output, write_coco, write_labelme
from pocketsight.train.datasets.formats.yolo import read_yolo
from pocketsight.train.datasets.splits import list_split_folders, parse_split_name

Reader = Callable[[Path, Path | None], list[AnnotatedImage]]
READERS: dict[str, Reader] = {
    "coco": read_coco,
    "createml": read_createml,
    "cvat": read_cvat,
    "labelme": read_labelme,
    "labelstudio": read_label_studio,
    "via": read_via,
    "voc": read_voc,
    "wider": read_wider_face,
    "yolo": read_yolo,
}


def convert_dataset(
    source: Path,
    out: Path,
    *,
    source_format: str | None,
    target_format: str | None,
    images: Path | None,
    label: str | None,
    max_boxes: int | None,
    votes: Path | None,
    split: str | None = None,
    first_pixel: int | None = None,
) -> None:
    """Read `source`, write `out`, show a summary. The parameters are the options of the command. Raises DataError."""
    is_guess = source_format is None
    source_format = choose_format(list_root(source), source_format)
    target_format = target_format or ("folders" if source_format == "fer2013" else "coco")
    _check_options(
        source_format,
        target_format,
        boxes=any(value is not None for value in (images, label, max_boxes, split)),
        votes=votes is not None,
    )
    if first_pixel is not None and source_format != "voc":
        raise DataError(f"--first-pixel is for Pascal VOC, not for {FORMAT_NAMES[source_format]}")
    require_new_output(out, target_format)
    if source_format == "fer2013":
        _log_folder_summary(out, fer2013.write_class_folders(single_file(source, source_format), out, votes))
        return
    reader = partial(read_voc, first_pixel=first_pixel) if source_format == "voc" else READERS[source_format]
    try:
        annotated = _read_annotated(source, source_format, reader, images, split)
    except DataError as error:
        detected = None if is_guess else detect_format(list_root(source))
        if detected in (None, source_format):
            raise
        raise DataError(f"{error}; it looks like {FORMAT_NAMES[detected]}: --from {detected}") from error
    summary = ImportSummary(annotated)
    annotated, labels = filter_labels(annotated, label.split(",") if label else (), source)
    if source_format != "yolo":  # it has shares of the image, not px
        annotated, summary.sizes = settle_sizes(annotated)
    annotated, summary.dropped, summary.cut = clip_boxes(annotated)
    annotated, summary.removed = _filter_images(annotated, max_boxes, target_format)
    if not annotated:
        raise DataError(f"{source}: no image remains: {'; '.join(summary.left_out())}")
    if target_format == "coco":
        write_coco(out, annotated, labels)
    else:
        write_labelme(out, annotated)
    show_summary(out, annotated, labels, summary)


def _read_annotated(
    source: Path, source_format: str, reader: Reader, images: Path | None, split: str | None
) -> list[AnnotatedImage]:
    """The images of a source with boxes. Raises DataError when there is none, or a file is missing."""
    if images and not images.is_dir():
        raise DataError(f"--images {images} is not a folder")
    list_file = None
    if source_format in SINGLE_FILE_FORMATS:
        root = single_file(source, source_format, split)
    else:
        root, list_file = choose_part(source, split)
    if images:  # those of other splits are no images without a box
        wanted = split or parse_split_name(root.name)
        images = next((path for own, path in list_split_folders(images) if own == wanted), images)
    annotated = keep_split(reader(root, images), root, split)
    if list_file:
        annotated = select_listed(annotated, list_file)
    if not annotated:
        raise DataError(f"{source} has no labeled images; is it {FORMAT_NAMES[source_format]}?")
    return require_images(annotated, source, images)


def _check_options(source_format: str, target_format: str, boxes: bool, votes: bool) -> None:
    """Raises DataError when options do not fit together. `boxes`, `votes`: an option for them is given."""
    name = FORMAT_NAMES[source_format]
    if (source_format == "fer2013") != (target_format == "folders"):
        hint = "it becomes folders" if target_format != "folders" else "try --to coco"
        raise DataError(f"{name} cannot become {target_format}; {hint}")
    if source_format == "fer2013" and boxes:
        raise DataError("--images, --label and --max-boxes are for boxes; FER2013 has none")
    if source_format != "fer2013" and votes:
        raise DataError(f"--votes is for FER2013, not for {name}")


def _filter_images(
    images: list[AnnotatedImage], max_boxes: int | None, target_format: str
) -> tuple[list[AnnotatedImage], list[str]]:
    """Remove images with more than `max_boxes` boxes, and for labelme those with boxes to ignore.

    Returns the remaining images, and lines about the removed ones.
    """
    removed = []
    if max_boxes is not None:
        remaining = [image for image in images if len(image.objects) <= max_boxes and not image.ignored]
        if count := len(images) - len(remaining):
            limit = pluralize(max_boxes, "box")
            removed.append(f"{pluralize(count, 'image')} with more than {limit} or with boxes to ignore removed")
        images = remaining
    if target_format == "labelme":
        remaining = [image for image in images if not image.ignored]
        if count := len(images) - len(remaining):
            removed.append(f"{pluralize(count, 'image')} with boxes to ignore removed: labelme has none")
        images = remaining
    return images, removed


def _log_folder_summary(out: Path, counts: dict[str, int]) -> None:
    no_face = counts.pop(fer2013.NO_FACE, 0)
    splits = ", ".join(f"{split} {count}" for split, count in counts.items())
    removed = f"; {pluralize(no_face, 'image')} in which most voters see no face removed" if no_face else ""
    log_message(f"wrote {out}: {pluralize(sum(counts.values()), 'image')} ({splits}){removed}")
    tables = [out / split / fer2013.VOTES_FILE for split in ("train", "val")]
    votes = [word for table in tables if table.is_file() for word in ("--soft-labels", table)]
    suggest_next("train", "classifier", "--data", out, *votes, "--classes", "happy,sad")
