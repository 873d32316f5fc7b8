"""Reader of WIDER FACE text files: http://shuoyang1213.me/WIDERFACE/"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image_kinds import is_image_name
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation, parse_finite_numbers
from pocketsight.train.datasets.formats.image_finder import ImageFinder
from pocketsight.train.datasets.formats.layout import are_numbers, read_text
from pocketsight.train.datasets.splits import parse_split_of_file

WIDER_FACE_COLUMNS = "x y w h blur expression illumination invalid occlusion pose"


def read_wider_face(source: Path, images: Path | None) -> list[AnnotatedImage]:
    """The images of `wider_face_*_bbx_gt.txt`. `images` is their folder; None: searched near the file.

    For each image the file has its path, a count, and that many boxes. A count of 0 may be followed by a row of zeros.
    datumaro writes no count without a box, and labels other than face behind the box. `invalid` faces are boxes to
    ignore. Raises DataError, naming the line.
    """
    split = parse_split_of_file(source) or "train"
    nearby = source.parent / "images", source.parent.parent / f"WIDER_{split}" / "images", source.parent
    folders = [images] if images else [folder for folder in nearby if folder.is_dir()]
    finder = ImageFinder(folders, [folder for folder in folders if folder in (images, *nearby[:-1])])
    rows = deque((n, line.strip()) for n, line in enumerate(read_text(source).splitlines(), 1) if line.strip())
    omits_zero = any(is_image_name(a) and is_image_name(b) for (_, a), (_, b) in pairwise(rows))
    result = []
    while rows:
        number, name = rows.popleft()
        if not is_image_name(name):
            raise DataError(
                f"{source} line {number}: {name!r} is not the path of an image; is the count above it right?"
            )
        if omits_zero and (not rows or is_image_name(rows[0][1])):
            count_line, count = number, "0"
        else:
            count_line, count = rows.popleft() if rows else (number, "nothing")
        if not (count.isascii() and count.isdecimal()):
            raise DataError(f"{source} line {count_line}: {count!r} is not the number of faces in {name}")
        faces = [_read_face(source, rows, name) for _ in range(int(count))]
        if not faces and rows and set(rows[0][1].split()) == {"0"}:
            rows.popleft()
        result.append(AnnotatedImage(finder.find(name), faces))
    return result


def _read_face(source: Path, rows: deque[tuple[int, str]], name: str) -> Annotation:
    if not rows:
        raise DataError(f"{source} ends within the faces of {name}; is it truncated?")
    number, row = rows.popleft()
    location, words = f"{source} line {number}", row.split()
    label = words.pop() if len(words) in (5, 11) and not are_numbers(words[-1:]) else "face"
    if len(words) not in (4, 10):
        raise DataError(f"{location}: {row!r} is not {WIDER_FACE_COLUMNS!r}")
    x, y, w, h, *flags = parse_finite_numbers(words, location)
    return Annotation((x, y, x + w, y + h), label, location, ignore=bool(flags and flags[3]))
