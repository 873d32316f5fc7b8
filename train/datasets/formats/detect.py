"""The format of a data set, by the beginning of its files. Formats that are not read are recognized by name, too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image_kinds import is_hidden, is_image_name
from pocketsight.train.datasets.formats.layout import list_files
from pocketsight.train.datasets.splits import parse_split_of_file

# The names of --from, and how messages call the formats.
FORMAT_NAMES = {
    "coco": "a COCO file",
    "createml": "CreateML's JSON",
    "cvat": "CVAT's XML for images",
    "fer2013": "FER2013's csv",
    "labelme": "a labelme folder",
    "labelstudio": "Label Studio's JSON",
    "via": "VIA's JSON",
    "voc": "Pascal VOC",
    "wider": "WIDER FACE text",
    "yolo": "a YOLO folder",
}
# Recognized, but not read: name and advice.
UNREAD_FORMATS = {
    "cvat-video": ("CVAT's XML for video", "export it as CVAT for images 1.1"),
    "datumaro": ("datumaro's own JSON", "export it as coco_instances"),
    "dlib": ("dlib's XML", "export it as COCO, such as with imglab"),
    "dota": ("DOTA text", "convert it to COCO or YOLO OBB"),
    "fiftyone": ("FiftyOne's own JSON", "export it as fiftyone.types.COCODetectionDataset"),
    "kitti": ("KITTI text", "convert it to COCO, such as with datumaro"),
    "labelme-xml": ("the XML of LabelMe, the web tool", "export it as COCO or CVAT for images 1.1"),
    "openimages": ("an OpenImages table", "convert it to COCO, such as with FiftyOne or datumaro"),
    "table": ("a table of boxes", "convert it to COCO"),
    "via-csv": ("VIA's csv", "export it as JSON"),
}
SINGLE_FILE_FORMATS = {  # the whole data set is one such file
    "coco": ".json",
    "createml": ".json",
    "cvat": ".xml",
    "fer2013": ".csv",
    "labelstudio": ".json",
    "via": ".json",
    "wider": ".txt",
}
SUFFIXES = ".csv", ".json", ".txt", ".xml"
SNIFF_BYTES = 65536  # read from a file to detect its format


def detect_format(source: Path) -> str | None:
    """The format of a file, or of the first file in a folder that has one that is read; None without such a file."""
    return next((name for _, name in iter_formats(source) if name in FORMAT_NAMES), None)


def choose_format(source: Path, requested: str | None) -> str:
    """The format to read: the requested one, else the detected one. Raises DataError when there is none."""
    if not source.exists():
        raise DataError(f"{source} does not exist")
    if requested:
        return requested
    if detected := detect_format(source):
        return detected
    for path, name in iter_formats(source):
        what, advice = UNREAD_FORMATS[name]
        raise DataError(f"{path} is {what}, which is not read here; {advice}")
    raise DataError(
        f"the format of {source} is unknown: not {', '.join(FORMAT_NAMES.values())}; choose one with --from"
    )


def import_hint(data: Path) -> str:
    """The end of an error about a folder whose labels are of another format: the command that converts it. Or ""."""
    found = next(iter_formats(data), None)
    if not found or not data.is_dir():
        return ""
    path, name = found
    if name in UNREAD_FORMATS:
        return f"; {path} is {UNREAD_FORMATS[name][0]}: {UNREAD_FORMATS[name][1]}"
    if name == "coco":
        return f"; {path} is a COCO file: give that file, or convert it: pocketsight data import {path} -o NEW.json"
    return f"; it has the labels of {FORMAT_NAMES[name]}: pocketsight data import {data} -o {data.resolve().name}.json"


def single_file(source: Path, source_format: str, split: str | None = None) -> Path:
    """The file of a format that is a single file, also when its folder is given: that of `split`. Raises DataError."""
    if source.is_file():
        return source
    suffix = SINGLE_FILE_FORMATS[source_format]
    files = [path for path in list_files(source, suffix) if sniff_format(path) == source_format]
    if len(files) > 1 and split:
        files = [path for path in files if parse_split_of_file(path) == split]
    if len(files) != 1:
        options = f"one of {', '.join(map(str, files[:5]))}" if files else f"a {suffix} file"
        raise DataError(f"{source} is a folder; {FORMAT_NAMES[source_format]} is one file: give {options}")
    return files[0]


def iter_formats(source: Path) -> Iterator[tuple[Path, str]]:
    """Each file of a known format, and its name."""
    for path in [source] if source.is_file() else _iter_files(source):
        if path.suffix.lower() in SUFFIXES and (name := sniff_format(path)):
            yield path, name


def _iter_files(folder: Path) -> Iterator[Path]:
    """The files of a folder and its subfolders, sorted. The search is lazy: the first label file decides."""
    for path in sorted(folder.iterdir()):
        if is_hidden(path.name):
            continue
        if path.is_dir():
            yield from _iter_files(path)
        else:
            yield path


def sniff_format(path: Path) -> str | None:
    """The format of a file by its first SNIFF_BYTES; None if unknown. Raises DataError."""
    try:
        with path.open("rb") as file:
            text = file.read(SNIFF_BYTES).decode("utf-8-sig", "replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    lines = [line.strip() for line in text.splitlines()[:20] if line.strip()]
    sniff = {".csv": _sniff_csv, ".txt": _sniff_txt}.get(path.suffix.lower())
    if sniff:
        return sniff(lines) if lines else None
    return _sniff_xml(text) if path.suffix.lower() == ".xml" else _sniff_json(text)


def _sniff_csv(lines: list[str]) -> str | None:
    header = {word.strip().strip('"').lower() for word in lines[0].split(",")}
    if {"emotion", "pixels"} <= header:
        return "fer2013"
    if {"imageid", "xmin", "ymax"} <= header:
        return "openimages"
    if {"region_count", "region_shape_attributes"} & header:
        return "via-csv"
    return "table" if {"xmin", "ymin", "xmax", "ymax"} <= header else None


def _sniff_xml(text: str) -> str | None:
    if re.search(r"<annotations[\s>]", text):
        return "cvat-video" if re.search(r"<track\s", text) else "cvat"
    if re.search(r"<annotation[\s>]", text):
        is_web = not re.search(r"<(bndbox|robndbox)[\s/>]", text) and re.search(r"<(imagesize|deleted|pt)[\s/>]", text)
        return "labelme-xml" if is_web else "voc"
    return "dlib" if re.search(r"<box\s[^>]*\btop=", text) else None


def _sniff_json(text: str) -> str | None:
    def has(*keys: str) -> bool:
        return all(re.search(rf'"{key}"\s*:', text) for key in keys)

    is_list = text.lstrip().startswith("[")
    if has("dm_format_version"):
        return "datumaro"
    if has("coordinates") and (has("image") or has("imagefilename")):
        return "createml"
    if (has("data") and (has("annotations") or has("completions"))) or has("from_name") or has("original_width"):
        return "labelstudio" if is_list or has("from_name") else None
    if has("_via_img_metadata") or has("regions", "filename"):
        return "via"
    if has("samples", "_id") or has("_media_type"):
        return "fiftyone"
    if not is_list and re.search(r'"(shapes|imagePath|imageData)"\s*:', text):
        return "labelme"
    if not is_list and re.search(r'"(images|annotations|categories)"\s*:\s*\[', text):
        return "coco"
    if is_list and has("image", "annotations"):
        return "createml"  # its first images have no box
    return None


def _sniff_txt(lines: list[str]) -> str | None:
    if len(lines) > 1 and is_image_name(lines[0]) and lines[1].isdecimal():
        return "wider"
    words = lines[0].split()
    if _is_yolo(words):
        return "yolo"
    row = next((line.split() for line in lines if ":" not in line), [])
    if len(row) in (9, 10) and _are_numbers(row[:8]) and not _are_numbers(row[8:9]):
        return "dota"
    return "kitti" if len(words) in (15, 16) and not _are_numbers(words[:1]) and _are_numbers(words[1:]) else None


def _is_yolo(words: list[str]) -> bool:
    """Class number, then shares; the visibility of a landmark is up to 2."""
    if len(words) < 5 or not words[0].isdecimal() or not _are_numbers(words[1:]):
        return False
    values = [float(word) for word in words[1:]]
    return all(0 <= value <= 1 for value in values[:4]) and all(-1 <= value <= 2 for value in values)


def _are_numbers(words: list[str]) -> bool:
    try:
        return bool([float(word) for word in words])
    except ValueError:
        return False
