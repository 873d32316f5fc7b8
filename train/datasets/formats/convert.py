"""`pocketsight data import`: detects the format of a data set and converts it to COCO, labelme or class folders."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import IMAGE_SUFFIXES
from pocketsight.train.console import log_message, suggest_next
from pocketsight.train.datasets.formats import fer2013
from pocketsight.train.datasets.formats.base import (
    AnnotatedImage,
    Annotation,
    clip_boxes,
    filter_label,
    require_images,
)
from pocketsight.train.datasets.formats.coco import read_coco
from pocketsight.train.datasets.formats.labelme import read_labelme
from pocketsight.train.datasets.formats.layout import list_files, single_split_folder
from pocketsight.train.datasets.formats.voc import read_voc
from pocketsight.train.datasets.formats.wider_face import read_wider_face
from pocketsight.train.datasets.formats.writers import require_new_output, write_coco, write_labelme
from pocketsight.train.datasets.formats.yolo import read_yolo

# The names of --from, and how messages call the formats.
FORMAT_NAMES = {
    "coco": "a COCO file",
    "fer2013": "FER2013's csv",
    "labelme": "a labelme folder",
    "voc": "Pascal VOC",
    "wider": "WIDER FACE text",
    "yolo": "a YOLO folder",
}
SINGLE_FILE_FORMATS = {"coco": ".json", "fer2013": ".csv", "wider": ".txt"}  # the whole data set is one such file
SNIFF_BYTES = 65536  # read from a file to detect its format
READERS: dict[str, Callable[[Path, Path | None], list[AnnotatedImage]]] = {
    "coco": read_coco,
    "labelme": read_labelme,
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
) -> None:
    """Read `source`, write `out` and log a summary. The parameters are the options of the command. Raises DataError."""
    source_format = _choose_format(source, source_format)
    target_format = target_format or ("folders" if source_format == "fer2013" else "coco")
    _check_options(
        source_format,
        target_format,
        boxes=any(value is not None for value in (images, label, max_boxes)),
        votes=votes is not None,
    )
    require_new_output(out, target_format)
    if source_format in SINGLE_FILE_FORMATS:
        source = _single_file(source, source_format)
    if source_format == "fer2013":
        _log_folder_summary(out, fer2013.write_class_folders(source, out, votes))
        return
    annotated = _read_annotated(source, source_format, images)
    annotated, label = filter_label(annotated, label, source)
    annotated, dropped = clip_boxes(annotated)
    annotated, removed = _filter_images(annotated, max_boxes, target_format)
    if not annotated:
        raise DataError(f"{source}: no image remains: {'; '.join(removed)}")
    if target_format == "coco":
        write_coco(out, annotated, label)
    else:
        write_labelme(out, annotated)
    _log_summary(out, annotated, label, dropped, removed)


def _read_annotated(source: Path, source_format: str, images: Path | None) -> list[AnnotatedImage]:
    """The images of a source with boxes. Raises DataError when there is none, or a file is missing."""
    if images and not images.is_dir():
        raise DataError(f"--images {images} is not a folder")
    annotated = READERS[source_format](source if source.is_file() else single_split_folder(source), images)
    if not annotated:
        raise DataError(f"{source} has no labeled images; is it {FORMAT_NAMES[source_format]}?")
    require_images(annotated, source)
    return annotated


def detect_format(source: Path) -> str | None:
    """The format of a file, or of the first file in a folder that has a known one; None without such a file."""
    return next(_iter_formats(source), None)


def _iter_formats(source: Path) -> Iterator[str]:
    """The format of each file that has a known one."""
    for path in [source] if source.is_file() else (p for p in sorted(source.rglob("*")) if p.name[0] != "."):
        is_candidate = path.suffix.lower() in (".csv", ".json", ".txt", ".xml") and path.is_file()
        if is_candidate and (name := _sniff_format(path)):
            yield name


def _sniff_format(path: Path) -> str | None:
    """The format of a file by its first SNIFF_BYTES; None if unknown. Raises DataError."""
    try:
        with path.open("rb") as file:
            text = file.read(SNIFF_BYTES).decode("utf-8-sig", "replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    lines = [line.strip() for line in text.splitlines()[:20] if line.strip()]
    if path.suffix.lower() == ".csv":
        return "fer2013" if lines and {"emotion", "pixels"} <= {w.strip() for w in lines[0].split(",")} else None
    if path.suffix.lower() == ".xml":
        return "voc" if re.search(r"<annotation[\s>]", text) else None
    if path.suffix.lower() == ".json":
        if re.search(r'"(shapes|imagePath|imageData)"\s*:', text):
            return "labelme"
        return "coco" if re.search(r'"(images|annotations|categories)"\s*:\s*\[', text) else None
    if len(lines) > 1 and Path(lines[0]).suffix.lower() in IMAGE_SUFFIXES and lines[1].isdecimal():
        return "wider"
    return "yolo" if lines and _is_yolo(lines[0].split()) else None


def _is_yolo(words: list[str]) -> bool:
    try:
        return len(words) >= 5 and int(words[0]) >= 0 and all(0 <= float(word) <= 1 for word in words[1:])
    except ValueError:
        return False


def _choose_format(source: Path, requested: str | None) -> str:
    """The format to read: the requested one if the source has such a file, else the detected one. Raises DataError."""
    if not source.exists():
        raise DataError(f"{source} does not exist")
    detected = detect_format(source)
    if requested is None:
        if detected is None:
            raise DataError(
                f"the format of {source} is unknown: not {', '.join(FORMAT_NAMES.values())}; choose one with --from"
            )
        return detected
    if detected and requested not in _iter_formats(source):
        expected, actual = FORMAT_NAMES[requested], FORMAT_NAMES[detected]
        raise DataError(f"{source} is not {expected}; it looks like {actual}: --from {detected}")
    return requested


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


def _single_file(source: Path, source_format: str) -> Path:
    """The file of a format that is a single file, also when its folder is given. Raises DataError."""
    if source.is_file():
        return source
    suffix = SINGLE_FILE_FORMATS[source_format]
    files = [path for path in list_files(source, suffix) if _sniff_format(path) == source_format]
    if len(files) != 1:
        options = f"one of {', '.join(map(str, files[:5]))}" if files else f"a {suffix} file"
        raise DataError(f"{source} is a folder; {FORMAT_NAMES[source_format]} is one file: give {options}")
    return files[0]


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
            limit = _pluralize(max_boxes, "box")
            removed.append(f"{_pluralize(count, 'image')} with more than {limit} or with boxes to ignore removed")
        images = remaining
    if target_format == "labelme":
        remaining = [image for image in images if not image.ignored]
        if count := len(images) - len(remaining):
            removed.append(f"{_pluralize(count, 'image')} with boxes to ignore removed: labelme has none")
        images = remaining
    return images, removed


def _pluralize(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('x') else 's'}"


def _log_summary(
    out: Path, images: list[AnnotatedImage], label: str, dropped: list[Annotation], removed: list[str]
) -> None:
    boxes, ignored = sum(len(image.objects) for image in images), sum(len(image.ignored) for image in images)
    empty = sum(not image.annotations for image in images)
    counts = [
        f"{_pluralize(len(images), 'image')}{f' ({empty} without boxes)' if empty else ''}",
        f"{_pluralize(boxes, 'box')} of {label}",
        *([f"{_pluralize(ignored, 'box')} to ignore"] if ignored else []),
    ]
    lines = [f"wrote {out}: {', '.join(counts)}"]
    if dropped:
        lines.append(f"{_pluralize(len(dropped), 'box')} without area dropped, the first: {dropped[0].location}")
    log_message("; ".join([*lines, *removed]))
    suggest_next("data", "check", out)


def _log_folder_summary(out: Path, counts: dict[str, int]) -> None:
    no_face = counts.pop(fer2013.NO_FACE, 0)
    splits = ", ".join(f"{split} {count}" for split, count in counts.items())
    removed = f"; {_pluralize(no_face, 'image')} in which most voters see no face removed" if no_face else ""
    log_message(f"wrote {out}: {_pluralize(sum(counts.values()), 'image')} ({splits}){removed}")
    tables = [out / split / fer2013.VOTES_FILE for split in ("train", "val")]
    votes = [word for table in tables if table.is_file() for word in ("--soft-labels", table)]
    suggest_next("train", "classifier", "--data", out, *votes, "--classes", "happy,sad")
