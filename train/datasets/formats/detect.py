"""The format of a data set, by the beginning of its files. Formats that are not read are recognized by name, too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image_kinds import KNOWN_IMAGE_SUFFIXES, is_hidden, is_image_name, list_by_suffix
from pocketsight.train.datasets.formats.layout import are_numbers, list_files, text_encoding
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
    "bdd100k": ("BDD100K's or Scalabel's JSON", "convert it to COCO, such as with bdd100k.label.to_coco"),
    "coco-results": ("COCO's JSON of results, without the images", "give the file of the annotations"),
    "cvat-video": ("CVAT's XML for video", "export it as CVAT for images 1.1"),
    "datumaro": ("datumaro's own JSON", "export it as coco_instances"),
    "dlib": ("dlib's XML", "export it as COCO, such as with imglab"),
    "dota": ("DOTA text", "convert it to COCO or YOLO OBB"),
    "fiftyone": ("FiftyOne's own JSON", "export it as fiftyone.types.COCODetectionDataset"),
    "json-lines": ("JSON Lines, one record a line", "export it as COCO"),
    "kitti": ("KITTI text", "convert it to COCO, such as with datumaro"),
    "labelbox": ("Labelbox's JSON", "export it as COCO"),
    "labelme-xml": ("the XML of LabelMe, the web tool", "export it as COCO or CVAT for images 1.1"),
    "openimages": ("an OpenImages table", "convert it to COCO, such as with FiftyOne or datumaro"),
    "retinaface": ("RetinaFace's label.txt", "give wider_face_train_bbx_gt.txt of WIDER FACE"),
    "supervisely": ("Supervisely's JSON", "export it as COCO"),
    "table": ("a table of boxes", "convert it to COCO"),
    "via-3": ("VIA 3's JSON", "export it as COCO, or label with VIA 2"),
    "via-csv": ("VIA's csv", "export it as JSON"),
    "vott": ("VoTT's JSON", "export it as Pascal VOC"),
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
SUFFIXES = ".csv", ".json", ".jsonl", ".manifest", ".ndjson", ".txt", ".xml"
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
    if _has_label_texts(source):
        return "yolo"
    raise DataError(
        f"the format of {source} is unknown: not {', '.join(FORMAT_NAMES.values())}; export it as COCO, or choose one "
        "with --from"
    )


def _has_label_texts(source: Path) -> bool:
    """Whether text files have the names of images: YOLO without a row, or whose first row is wrong."""
    if not source.is_dir():
        return False
    stems = {path.stem for path in list_files(source, ".txt")}
    return any(path.stem in stems for path in list_by_suffix(source, KNOWN_IMAGE_SUFFIXES))


def import_hint(data: Path) -> str:
    """The end of an error about a folder or file of another format: the command that converts it. Or ""."""
    found = next(iter_formats(data), None)
    if not found or found == (data, "coco"):
        return ""
    path, name = found
    if name in UNREAD_FORMATS:
        return f"; {path} is {UNREAD_FORMATS[name][0]}: {UNREAD_FORMATS[name][1]}"
    if name == "coco":
        return f"; {path} is a COCO file: give that file, or convert it: pocketsight data import {path} -o NEW.json"
    is_whole = name in SINGLE_FILE_FORMATS
    what = "it has the labels of" if data.is_dir() else "it is" if is_whole else "it is of"
    source = data if data.is_dir() or is_whole else data.parent
    out = f"{data.resolve().stem}{'' if data.is_dir() else '-coco'}.json"
    return f"; {what} {FORMAT_NAMES[name]}: pocketsight data import {source} -o {out}"


def has_label_files(data: Path) -> bool:
    """Whether the first label file of a folder is that of an image next to it: then its folders are no classes."""
    path, name = next(iter_formats(data), (data, ""))
    is_own = name in FORMAT_NAMES and name not in SINGLE_FILE_FORMATS
    return is_own and any(path.with_suffix(suffix).is_file() for suffix in (".jpg", ".jpeg", ".png", ".JPG"))


def single_file(source: Path, source_format: str, split: str | None = None) -> Path:
    """The file of a format that is a single file, also when its folder is given: that of `split`. Raises DataError."""
    if source.is_file():
        return source
    suffix = SINGLE_FILE_FORMATS[source_format]
    every = list_files(source, suffix)
    files = [path for path in every if sniff_format(path) == source_format] or every  # --from wins over the guess
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
            data = file.read(SNIFF_BYTES)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    text = data.decode(text_encoding(data), "replace")
    lines = [line.strip() for line in text.splitlines()[:20] if line.strip()]
    suffix = path.suffix.lower()
    if suffix in (".csv", ".txt"):
        return (_sniff_csv if suffix == ".csv" else _sniff_txt)(lines) if lines else None
    if suffix in (".xml", ".json"):
        return (_sniff_xml if suffix == ".xml" else _sniff_json)(text)
    return "json-lines" if text.lstrip().startswith("{") else None


def _sniff_csv(lines: list[str]) -> str | None:
    words = [word.strip().strip('"').lower() for word in re.split(r"[,;\t]", lines[0])]
    header = set(words)
    if {"emotion", "pixels"} <= header:
        return "fer2013"
    if {"imageid", "xmin", "ymax"} <= header:
        return "openimages"
    if {"region_count", "region_shape_attributes"} & header:
        return "via-csv"
    has_corners = any({f"{axis}{corner}" for axis in "xy" for corner in pair} <= header for pair in CORNER_NAMES)
    is_row = len(words) > 4 and is_image_name(words[0]) and are_numbers(words[1:5])  # RetinaNet: no header
    return "table" if has_corners or "bbox" in header or is_row else None


CORNER_NAMES = ("min", "max"), ("1", "2"), ("tl", "br"), ("_min", "_max")


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
    if has("dm_format_version") or has("items", "label_id"):
        return "datumaro"
    if other := next((name for name, keys in JSON_KEYS.items() if any(has(*words) for words in keys)), None):
        return other
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
    lists = set(re.findall(r'"(images|annotations|categories)"\s*:\s*\[', text))
    if not is_list and lists and (len(lists) > 1 or re.search(r'"(file_name|image_id|supercategory)"\s*:', text)):
        return "coco"
    if is_list and has("image_id", "category_id", "score"):
        return "coco-results"
    if is_list and has("image", "annotations"):
        return "createml"  # its first images have no box
    return None


# Keys by which the JSON of tools that are not read is recognized.
JSON_KEYS: dict[str, list[tuple[str, ...]]] = {
    "bdd100k": [("labels", "box2d")],
    "labelbox": [("Labeled Data",), ("data_row", "projects"), ("DataRow ID",)],
    "supervisely": [("classTitle",)],
    "via-3": [("vid_list",)],
    "vott": [("boundingBox", "tags")],
}


def _sniff_txt(lines: list[str]) -> str | None:
    if is_image_name(lines[0]) and any(is_image_name(a) and b.isdecimal() for a, b in pairwise(lines)):
        return "wider"
    words = lines[0].split()
    if words[0] == "#" and is_image_name(lines[0]):
        return "retinaface"
    if _is_yolo(words):
        return "yolo"
    row = next((line.split() for line in lines if ":" not in line), [])
    if len(row) in (9, 10) and are_numbers(row[:8]) and not are_numbers(row[8:9]):
        return "dota"
    return "kitti" if len(words) in (15, 16) and not are_numbers(words[:1]) and are_numbers(words[1:]) else None


def _is_yolo(words: list[str]) -> bool:
    """Class number, then shares; the visibility of a landmark is up to 2."""
    if len(words) < 5 or not re.fullmatch(r"[0-9]+(\.0*)?", words[0]) or not are_numbers(words[1:]):
        return False
    values = [float(word) for word in words[1:]]
    return all(0 <= value <= 1 for value in values[:4]) and all(-1 <= value <= 2 for value in values)
