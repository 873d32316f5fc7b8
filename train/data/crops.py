"""Faces cut from photographs of whole people, by our own detector and the classifier's own crop."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pocketsight.device.annotate import GREY
from pocketsight.device.detector import Face, detect
from pocketsight.device.errors import DataError
from pocketsight.device.files import write_jpeg
from pocketsight.device.image import Image, crop, fit, read_image
from pocketsight.device.interpreter import Loaded
from pocketsight.device.sentiment import MARGIN
from pocketsight.train.data.fix import free
from pocketsight.train.data.split import apart
from pocketsight.train.data.survey import Item, Survey
from pocketsight.train.report import sheet

LARGEST = 256  # px: longer sides are scaled down; every classifier here sees at most as much
TABLE, SHEET = "crops.csv", "crops.png"


@dataclass
class Cut:
    """What became of the pictures."""

    crops: Counter[str] = field(default_factory=Counter)  # by class
    empty: list[Path] = field(default_factory=list)  # pictures in which no face was found
    unread: list[str] = field(default_factory=list)


def cut_faces(
    found: Survey, detector: Loaded, out: Path, every: bool, track: Callable[[Sequence[Item]], Iterable[Item]]
) -> Cut:
    """Write the largest face of each picture, or every one, to OUT/[PART/]CLASS/NAME.jpg, and a table and a sheet.

    A face is cut square with MARGIN around its box, as `read_expressions` takes portraits to be. Raises DataError.
    """
    cut = Cut()
    tiles: list[Image] = []
    rows: list[list[object]] = []
    apart(out, found.root.parent if found.layout == "coco" else found.root)
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} holds files already; choose another --out, or move it away")
    try:
        for item in track(found.items):
            try:
                image = read_image(item.path)
            except DataError as error:
                cut.unread.append(str(error))
                continue
            faces = sorted(detect(image, detector), key=_area, reverse=True)
            if not faces:
                cut.empty.append(item.path)
            for number, face in enumerate(faces if every else faces[:1], start=1):
                inner = found.inner(item).with_suffix(".jpg")
                target = free(
                    out / item.part / item.kind / (inner if number == 1 else inner.with_stem(f"{inner.stem}_{number}"))
                )
                portrait = crop(image, face.box, MARGIN, _size(face))
                write_jpeg(target, portrait)
                cut.crops[item.kind] += 1
                rows.append(
                    [item.path, target.relative_to(out), *(round(s, 1) for s in face.box), round(face.score, 3)]
                )
                if len(tiles) < 96:
                    tiles.append(fit(portrait, (96, 96))[0])
        if tiles:
            sheet(tiles, 12, out / SHEET, [("faces as they were cut", GREY)])
            _write_table(out / TABLE, rows)
    except OSError as error:
        raise DataError(f"{error.filename or out} cannot be written: {error.strerror}") from error
    return cut


def _area(face: Face) -> float:
    return (face.box.right - face.box.left) * (face.box.bottom - face.box.top)


def _size(face: Face) -> tuple[int, int]:
    """As many pixels as the photograph gives, up to LARGEST."""
    longer = max(face.box.right - face.box.left, face.box.bottom - face.box.top)
    side = min(LARGEST, max(1, round(longer * (1 + 2 * MARGIN))))
    return side, side


def _write_table(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["picture", "crop", "left", "top", "right", "bottom", "score"])
        table.writerows(rows)
