"""Annotated images between a reader and a writer: checked, clipped, and filtered by label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.device.errors import DataError
from pocketsight.device.vision.image_kinds import (
    KNOWN_IMAGE_SUFFIXES,
    describe_unread,
    list_by_suffix,
    readable_suffixes,
    register_heif,
)
from pocketsight.train.console import log_message, progress_bar

EXIF_ORIENTATION = 0x0112  # tag number
FIRST_TRANSPOSED = 5  # orientations from this value on swap width and height


MAX_ROUNDING = 2.0  # px beyond the image that tools write for a box at its border
NO_BOX = (0.0, 0.0, 0.0, 0.0)
NO_LABEL = "object"  # of shapes that their tool stored without one


class Annotation(NamedTuple):
    """One box as stored: it may reach beyond its image, or have no area."""

    box: tuple[float, float, float, float]  # left, top, right, bottom, px of the upright image
    label: str
    location: str  # file, and line or number of the box, for error messages
    ignore: bool = False  # neither object nor background
    mask_state: int = -1  # 1: a face with a mask, 0: without, -1: unknown
    problem: str = ""  # why the shape has no box; it matters only if the label is the chosen one


@dataclass(frozen=True)
class AnnotatedImage:
    """One image and its annotations."""

    path: Path
    annotations: list[Annotation] = field(default_factory=list)
    size: tuple[int, int] | None = None  # height, width in px; None: not stored
    group: str = ""  # images of one group stay in one split
    source: str = ""  # its collection
    split: str = ""  # train, val or test; empty when the data is not split

    @property
    def objects(self) -> list[Annotation]:
        """The annotations with a box that are not to be ignored."""
        return [annotation for annotation in self.annotations if not annotation.ignore and not annotation.problem]

    @property
    def ignored(self) -> list[Annotation]:
        """The annotations with a box that are neither object nor background."""
        return [annotation for annotation in self.annotations if annotation.ignore and not annotation.problem]


def parse_finite_numbers(words: Sequence[Any], location: str) -> list[float]:
    """The words as numbers. Raises DataError, naming the location, when one is not a finite number."""
    numbers = []
    for word in words:
        if word is None:
            raise DataError(f"{location}: a number is missing")
        try:
            numbers.append(float(word))
        except (TypeError, ValueError):
            raise DataError(f"{location}: {word!r} is not a number") from None
        if not isfinite(numbers[-1]):
            raise DataError(f"{location}: {word!r} is not a finite number")
    return numbers


def read_upright_size(path: Path) -> tuple[int, int]:
    """Height and width of the image that `read_image` returns, without decoding pixels. Raises DataError."""
    return read_orientation(path)[0]


def read_orientation(path: Path) -> tuple[tuple[int, int], int]:
    """The upright size of an image as `read_upright_size` returns it, and its EXIF orientation, 1 to 8."""
    from PIL import Image as Pillow  # reads the header only
    from PIL import UnidentifiedImageError

    register_heif()
    try:
        with path.open("rb") as file, Pillow.open(file) as image:
            width, height = image.size
            # "exif" is checked first: a PNG without it would be decoded, and the size of a TIFF is upright already.
            orientation = image.getexif().get(EXIF_ORIENTATION, 1) if "exif" in image.info else 1
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is not an image whose size can be read; remove or repair it") from error
    except (OSError, SyntaxError, ValueError, TypeError, Pillow.DecompressionBombError) as error:
        raise DataError(f"{path} is not an image whose size can be read: {error}") from error
    orientation = orientation if orientation in range(1, 9) else 1
    return ((width, height) if orientation >= FIRST_TRANSPOSED else (height, width)), orientation


def require_images(images: list[AnnotatedImage], source: Path, folder: Path | None) -> list[AnnotatedImage]:
    """The images of kinds that are read; the others are logged. `folder` is that of --images, if given.

    Raises DataError when an image is listed twice or does not exist, or none can be read.
    """
    repeated = [path for path, count in Counter(image.path for image in images).items() if count > 1]
    if repeated:
        raise DataError(f"{source} lists {repeated[0]} more than once ({len(repeated)} such images); merge its entries")
    missing = [i.path for i in progress_bar(images, description="looking for images") if not i.path.is_file()]
    if missing:
        advice = "give their folder: --images DIR"
        if folder:
            here = list_by_suffix(folder, KNOWN_IMAGE_SUFFIXES)
            advice = f"{folder} has {len(here)} images" + (
                f", such as {here[0].name}, but not this one" if here else ""
            )
        raise DataError(
            f"{source} names {missing[0]}, which does not exist; {len(missing)} of {len(images)} images are missing; "
            f"{advice}"
        )
    readable = [image for image in images if image.path.suffix.lower() in readable_suffixes()]
    if unread := [image.path for image in images if image.path.suffix.lower() not in readable_suffixes()]:
        if not readable:
            raise DataError(f"{source} has no image that can be read; {describe_unread(unread)}")
        log_message(describe_unread(unread))
    return readable


def box_or_problem(label: str, location: str, ignore: bool, read_bounds: Callable[[], Sequence[float]]) -> Annotation:
    """An annotation with the box that `read_bounds` returns, or with its DataError as the problem.

    So a shape of another label stops nothing.
    """
    try:
        left, top, right, bottom = read_bounds()
    except DataError as error:
        return Annotation(NO_BOX, label.strip(), location, ignore, problem=str(error))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        problem = f"{location} has no box: {explain_error(error)}"
        return Annotation(NO_BOX, label.strip(), location, ignore, problem=problem)
    return Annotation((left, top, right, bottom), label.strip(), location, ignore)


@contextmanager
def named_errors(location: str) -> Iterator[None]:
    """Turns an error about the content of a record into a DataError that names the record."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise DataError(f"{location}: {explain_error(error)}") from error


def explain_error(error: Exception) -> str:
    """What is wrong in a file, in words, from the error that reading it raised."""
    if isinstance(error, OSError):
        return str(error.strerror)
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    if isinstance(error, (TypeError, AttributeError)):
        return "a value is missing, or of the wrong type"
    if isinstance(error, IndexError):
        return "a point is missing"
    return str(error)


def require_boxes(annotations: Iterable[Annotation]) -> None:
    """Raises DataError when a shape has no box."""
    for annotation in annotations:
        if annotation.problem:
            raise DataError(annotation.problem)


def filter_labels(
    images: list[AnnotatedImage], labels: Sequence[str], source: Path
) -> tuple[list[AnnotatedImage], tuple[str, ...]]:
    """The images with the annotations of these labels only, and the labels; () for all, in alphabetical order.

    Labels that differ in capitals are one.

    Raises DataError when a label is not used, or when a shape of one has no box.
    """
    spellings = Counter(annotation.label for image in images for annotation in image.annotations)
    names: dict[str, str] = {}  # the most frequent spelling of each
    for name, _ in spellings.most_common():
        names.setdefault(name.casefold(), name)
    counts: Counter[str] = Counter()
    for name, count in spellings.items():
        counts[names[name.casefold()]] += count
    used = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
    for label in labels:
        if counts and label.casefold() not in names:
            raise DataError(f"{source} has no box of {label!r}; it has: {used}")
    chosen = tuple(labels) or tuple(sorted(counts)) or ("face",)
    new_names = {label.casefold(): label for label in chosen}
    for label in chosen:
        same = sorted(name for name in spellings if name.casefold() == label.casefold())
        if len(same) > 1:
            log_message(f"{', '.join(same)} differ in capitals only, and are read as {label}")
    filtered = [
        replace(
            image,
            annotations=[
                note._replace(label=new_names[note.label.casefold()])
                for note in image.annotations
                if note.label.casefold() in new_names
            ],
        )
        for image in images
    ]
    try:
        require_boxes(annotation for image in filtered for annotation in image.annotations)
    except DataError as error:
        if labels or len(counts) == 1:
            raise
        raise DataError(f"{error}, or leave its label out: --label {','.join(counts)}") from error
    return filtered, chosen


def clip_boxes(images: list[AnnotatedImage]) -> tuple[list[AnnotatedImage], list[Annotation], list[Annotation]]:
    """The images with their sizes and clipped boxes (rounded to 1/1000 px), the boxes without area, and the cut ones.

    Raises DataError when a size cannot be read.
    """
    clipped: list[AnnotatedImage] = []
    dropped: list[Annotation] = []
    cut: list[Annotation] = []  # by more than MAX_ROUNDING
    for image in progress_bar(images, description="reading sizes"):
        height, width = image.size or read_upright_size(image.path)
        annotations: list[Annotation] = []
        for annotation in image.annotations:
            left, top, right, bottom = annotation.box
            left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)
            box = round(left, 3), round(top, 3), round(right, 3), round(bottom, 3)
            has_area = box[0] < box[2] and box[1] < box[3]
            if has_area and max(abs(a - b) for a, b in zip(box, annotation.box, strict=True)) > MAX_ROUNDING:
                cut.append(annotation)
            (annotations if has_area else dropped).append(annotation._replace(box=box))
        clipped.append(replace(image, annotations=annotations, size=(height, width)))
    return clipped, dropped, cut


def require_positive_size(size: tuple[int, int], location: object) -> tuple[int, int]:
    """Returns `size` (height, width). Raises DataError when a side is below 1 px."""
    if min(size) < 1:
        raise DataError(f"{location}: the image size {size[1]}x{size[0]} is invalid")
    return size
