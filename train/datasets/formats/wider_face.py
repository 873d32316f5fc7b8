"""TODO docstring."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image import IMAGE_SUFFIXES
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, parse_finite_numbers
from pocketsight.train.datasets.formats.layout import (
    SPLIT_FOLDERS,
    find_image,
    read_text,
)

WIDER_FACE_COLUMNS = "x y w h blur expression illumination invalid occlusion pose"


def read_wider_face(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """WIDER FACE's `wider_face_*_bbx_gt.txt`: a path, a count, that many boxes; of count 0 one row of zeros, perhaps.

    `invalid` faces become regions to ignore. Raises DataError naming the line.
    """
    part = next((name for name in SPLIT_FOLDERS if name in source.stem.lower()), "train")
    near = source.parent / "images", source.parent.parent / f"WIDER_{part}" / "images", source.parent
    folders = [images] if images else [folder for folder in near if folder.is_dir()]
    rows = deque((n, line.strip()) for n, line in enumerate(read_text(source).splitlines(), 1) if line.strip())
    found = []
    while rows:
        number, name = rows.popleft()
        if Path(name).suffix.lower() not in IMAGE_SUFFIXES:
            raise DataError(f"{source} line {number}: {name!r} is not the path of a picture; is the count above right?")
        at, count = rows.popleft() if rows else (number, "nothing")
        if not (count.isascii() and count.isdecimal()):
            raise DataError(f"{source} line {at}: {count!r} is not the number of faces in {name}")
        marks = [_read_face(source, rows, name) for _ in range(int(count))]
        if not marks and rows and set(rows[0][1].split()) == {"0"}:
            rows.popleft()
        found.append(AnnotatedImage(find_image([name], folders), marks))
    return found


def _read_face(source: Path, rows: deque[tuple[int, str]], name: str) -> Annotation:
    if not rows:
        raise DataError(f"{source} ends amid the faces of {name}; was it cut short?")
    number, row = rows.popleft()
    where, words = f"{source} line {number}", row.split()
    if len(words) not in (4, 10):
        raise DataError(f"{where}: {row!r} is not {WIDER_FACE_COLUMNS!r}")
    x, y, w, h, *flags = parse_finite_numbers(words, where)
    return Annotation((x, y, x + w, y + h), "face", where, ignore=bool(flags and flags[3]))
