"""Faces cut from photographs of whole people, by our own detector and the classifier's own crop."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pocketsight.device.annotators.labels import GRAY
from pocketsight.device.errors import DataError
from pocketsight.device.inference.classifier import FACE_CROP_MARGIN
from pocketsight.device.inference.detector import Face, detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import Image, read_image, write_jpeg
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.contact_sheet import write_contact_sheet
from pocketsight.train.curation.scan import DatasetScan, ScannedImage
from pocketsight.train.datasets.formats.writers import next_free_path, require_disjoint

MAX_CROP_SIDE = 256  # px: longer sides are scaled down; every classifier here sees at most as much
CROPS_TABLE, CROPS_SHEET = "crops.csv", "crops.png"


@dataclass
class CropSummary:
    """What became of the pictures."""

    crops_by_class: Counter[str] = field(default_factory=Counter)  # by class
    without_face: list[Path] = field(default_factory=list)  # pictures in which no face was found
    unreadable: list[str] = field(default_factory=list)


def crop_faces(
    scan: DatasetScan,
    detector: Model,
    out: Path,
    all_faces: bool,
    progress: Callable[[Sequence[ScannedImage]], Iterable[ScannedImage]],
) -> CropSummary:
    """Write the largest face of each picture, or every one, to OUT/[PART/]CLASS/NAME.jpg, and a table and a sheet.

    A face is cut square with MARGIN around its box, as `read_expressions` takes portraits to be. Raises DataError.
    """
    cut = CropSummary()
    tiles: list[Image] = []
    rows: list[list[object]] = []
    require_disjoint(out, scan.root.parent if scan.layout == "coco" else scan.root)
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} holds files already; choose another --out, or move it away")
    try:
        for item in progress(scan.images):
            try:
                image = read_image(item.path)
            except DataError as error:
                cut.unreadable.append(str(error))
                continue
            faces = sorted(detect(image, detector), key=_face_area, reverse=True)
            if not faces:
                cut.without_face.append(item.path)
            for number, face in enumerate(faces if all_faces else faces[:1], start=1):
                inner = scan.relative_path(item).with_suffix(".jpg")
                target = next_free_path(
                    out
                    / item.split
                    / item.class_name
                    / (inner if number == 1 else inner.with_stem(f"{inner.stem}_{number}"))
                )
                portrait = crop_face(image, face.box, FACE_CROP_MARGIN, _crop_size(face))
                write_jpeg(target, portrait)
                cut.crops_by_class[item.class_name] += 1
                rows.append(
                    [item.path, target.relative_to(out), *(round(s, 1) for s in face.box), round(face.score, 3)]
                )
                if len(tiles) < 96:
                    tiles.append(letterbox(portrait, (96, 96))[0])
        if tiles:
            write_contact_sheet(tiles, 12, out / CROPS_SHEET, [("faces as they were cut", GRAY)])
            _write_table(out / CROPS_TABLE, rows)
    except OSError as error:
        raise DataError(f"{error.filename or out} cannot be written: {error.strerror}") from error
    return cut


def _face_area(face: Face) -> float:
    return face.box.area


def _crop_size(face: Face) -> tuple[int, int]:
    """As many pixels as the photograph gives, up to LARGEST."""
    side = min(MAX_CROP_SIDE, max(1, round(face.box.longer_side * (1 + 2 * FACE_CROP_MARGIN))))
    return side, side


def _write_table(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["picture", "crop", "left", "top", "right", "bottom", "score"])
        table.writerows(rows)
