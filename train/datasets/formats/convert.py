"""`pocketsight data import`: bring in data of another format, or say what it is and why not."""

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
from pocketsight.train.datasets.formats.layout import (
    list_files,
    single_split_folder,
)
from pocketsight.train.datasets.formats.voc import read_voc
from pocketsight.train.datasets.formats.wider_face import read_wider_face
from pocketsight.train.datasets.formats.writers import require_new_output, write_coco, write_labelme
from pocketsight.train.datasets.formats.yolo import read_yolo

FORMAT_NAMES = {
    "coco": "a COCO file",
    "fer2013": "FER2013's csv",
    "labelme": "a labelme folder",
    "voc": "Pascal VOC",
    "wider": "WIDER FACE text",
    "yolo": "a YOLO folder",
}
SINGLE_FILE_FORMATS = "coco", "fer2013", "wider"  # one file is the whole source
SNIFF_BYTES = 65536  # bytes of a file that are enough to recognise it


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
    """Read `source`, write `out`, and say what was done. The options are those of the command. Raises DataError."""
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
        counts = fer2013.write_class_folders(source, out, votes)
        _log_folder_summary(out, counts)
        return
    if images and not images.is_dir():
        raise DataError(f"--images {images} is not a folder")
    found = READERS[source_format](source if source.is_file() else single_split_folder(source), images)
    if not found:
        raise DataError(f"{source} holds no labelled pictures; is it {FORMAT_NAMES[source_format]}?")
    require_images(found, source)
    found, label = filter_label(found, label, source)
    found, dropped = clip_boxes(found)
    found, left_out = _filter_images(found, max_boxes, target_format)
    if not found:
        raise DataError(f"{source}: no picture is left: {'; '.join(left_out)}")
    if target_format == "coco":
        write_coco(out, found, label)
    else:
        write_labelme(out, found)
    _log_summary(out, found, label, dropped, left_out)


def detect_format(source: Path) -> str | None:
    """The format of a file or of the first file in a folder that can be recognised; None if none can."""
    return next(_iter_formats(source), None)


def _iter_formats(source: Path) -> Iterator[str]:
    """The format of each file that can be recognised, one after the other."""
    for path in [source] if source.is_file() else (p for p in sorted(source.rglob("*")) if p.name[0] != "."):
        if (
            path.suffix.lower() in (".csv", ".json", ".txt", ".xml")
            and path.is_file()
            and (kind := _sniff_format(path))
        ):
            yield kind


def _sniff_format(path: Path) -> str | None:
    """The format that a file's first bytes show."""
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


def _choose_format(source: Path, form: str | None) -> str:
    """The format to read: the one asked for if the source has such a file, or else the one it looks like."""
    if not source.exists():
        raise DataError(f"{source} does not exist")
    seen = detect_format(source)
    if form is None:
        if seen is None:
            raise DataError(
                f"{source} looks like none of {', '.join(FORMAT_NAMES.values())}; say what it is with --from"
            )
        return seen
    if seen and form not in _iter_formats(source):
        raise DataError(f"{source} is not {FORMAT_NAMES[form]}; it looks like {FORMAT_NAMES[seen]}: --from {seen}")
    return form


def _check_options(form: str, to: str, boxes: bool, votes: bool) -> None:
    if (form == "fer2013") != (to == "folders"):
        raise DataError(
            f"{FORMAT_NAMES[form]} cannot become {to}; " + ("it becomes folders" if to != "folders" else "try coco")
        )
    if form == "fer2013" and boxes:
        raise DataError("--images, --label and --max-boxes are for boxes; FER2013 has none")
    if form != "fer2013" and votes:
        raise DataError(f"--votes is for FER2013, not for {FORMAT_NAMES[form]}")


def _single_file(source: Path, form: str) -> Path:
    """The one file of a format that is a single file, where its folder was given. Raises DataError."""
    if source.is_file():
        return source
    suffix = {"coco": ".json", "fer2013": ".csv", "wider": ".txt"}[form]
    found = [path for path in list_files(source, suffix) if _sniff_format(path) == form]
    if len(found) != 1:
        there = f"one of {', '.join(map(str, found[:5]))}" if found else f"a {suffix} file"
        raise DataError(f"{source} is a folder; {FORMAT_NAMES[form]} is one file: give {there}")
    return found[0]


def _filter_images(
    images: list[AnnotatedImage], max_boxes: int | None, to: str
) -> tuple[list[AnnotatedImage], list[str]]:
    """The pictures with at most so many boxes and, then or for labelme, no region to ignore; what was left out."""
    left_out = []
    if max_boxes is not None:
        kept = [picture for picture in images if len(picture.objects) <= max_boxes and not picture.ignored]
        if less := len(images) - len(kept):
            left_out.append(
                f"{_pluralize(less, 'picture')} with more than {_pluralize(max_boxes, 'box')} or regions to ignore left out"
            )
        images = kept
    if to == "labelme":
        kept = [picture for picture in images if not picture.ignored]
        if less := len(images) - len(kept):
            left_out.append(f"{_pluralize(less, 'picture')} with regions to ignore left out, which labelme cannot mark")
        images = kept
    return images, left_out


def _pluralize(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}{'es' if thing.endswith('x') else 's'}"


def _log_summary(
    out: Path, images: list[AnnotatedImage], label: str, dropped: list[Annotation], left_out: list[str]
) -> None:
    boxes, ignore = (sum(map(len, marks)) for marks in ([p.objects for p in images], [p.ignored for p in images]))
    empty = sum(not picture.annotations for picture in images)
    parts = [f"{_pluralize(len(images), 'picture')}{f' ({empty} of them empty)' if empty else ''}"]
    parts += [
        f"{_pluralize(boxes, 'box')} of {label}",
        *([f"{_pluralize(ignore, 'region')} to ignore"] if ignore else []),
    ]
    lost = (
        [f"{_pluralize(len(dropped), 'box')} without area dropped, the first: {dropped[0].location}"] if dropped else []
    )
    log_message("; ".join([f"wrote {out}: {', '.join(parts)}", *lost, *left_out]))
    suggest_next("data", "check", out)


def _log_folder_summary(out: Path, counts: dict[str, int]) -> None:
    blank = counts.pop("no face", 0)
    parts = ", ".join(f"{part} {count}" for part, count in counts.items())
    lost = f"; {_pluralize(blank, 'picture')} in which most voters see no face left out" if blank else ""
    log_message(f"wrote {out}: {_pluralize(sum(counts.values()), 'picture')} ({parts}){lost}")
    tables = [
        out / part / fer2013.VOTES_FILE for part in ("train", "val") if (out / part / fer2013.VOTES_FILE).is_file()
    ]
    votes = [word for table in tables for word in ("--soft-labels", table)]
    suggest_next("train", "classifier", "--data", out, *votes, "--classes", "happy,sad")


READERS: dict[str, Callable[[Path, Path | None], list[AnnotatedImage]]] = {
    "coco": read_coco,
    "labelme": read_labelme,
    "voc": read_voc,
    "wider": read_wider_face,
    "yolo": read_yolo,
}
