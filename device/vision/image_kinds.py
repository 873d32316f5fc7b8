"""Kinds of image files by their suffix: read by every OpenCV, read where Pillow can, or not read at all."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError
from pocketsight.device.system.install_hint import install_command

# Every OpenCV reads these.
IMAGE_SUFFIXES = frozenset({".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
PILLOW_SUFFIXES = HEIC_SUFFIXES | {".avif", ".gif"}
UNREAD_SUFFIXES = frozenset(
    ".arw .cr2 .cr3 .dng .exr .ico .j2k .jp2 .jxl .nef .orf .pcx .psd .raf .raw .rw2 .svg .tga .xcf".split()
)
NOT_OPENCV_SUFFIXES = PILLOW_SUFFIXES | UNREAD_SUFFIXES
KNOWN_IMAGE_SUFFIXES = IMAGE_SUFFIXES | NOT_OPENCV_SUFFIXES
FOREIGN_FOLDERS = frozenset({"__MACOSX", "@eaDir"})  # what the zips of a Mac and the disks of Synology leave
MAX_NAMED = 3


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not part of the data."""
    return name.startswith(".") or name in FOREIGN_FOLDERS


@cache
def readable_suffixes() -> frozenset[str]:
    """The suffixes of images that `read_image` reads in this environment."""
    if not find_spec("PIL"):
        return IMAGE_SUFFIXES
    from PIL import features

    readable = {".gif"} | ({".avif"} if features.check("avif") else set())
    return IMAGE_SUFFIXES | readable | (HEIC_SUFFIXES if find_spec("pillow_heif") else frozenset())


def is_image_name(name: str) -> bool:
    """Whether a name ends like that of an image of any kind, read here or not."""
    return os.path.splitext(name)[1].lower() in KNOWN_IMAGE_SUFFIXES


def list_by_suffix(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """The files with one of the suffixes in a folder and its subfolders, sorted by path, without hidden ones."""
    wanted, paths = frozenset(suffixes), []
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in names:
            if os.path.splitext(name)[1].lower() in wanted and not is_hidden(name):
                paths.append(Path(parent, name))
    return sorted(path for path in paths if path.is_file())


def list_unread_images(folder: Path) -> list[Path]:
    """The images in a folder and its subfolders of kinds that are not read in this environment, sorted by path."""
    return list_by_suffix(folder, KNOWN_IMAGE_SUFFIXES - readable_suffixes())


def describe_unread(paths: Sequence[Path]) -> str:
    """A line that names and counts images of kinds that are not read, and says what to do. `paths` is not empty."""
    kinds = Counter(path.suffix.lower() for path in paths)
    counts = ", ".join(f"{count} {kind or 'without an extension'}" for kind, count in sorted(kinds.items()))
    names = ", ".join(map(str, paths[:MAX_NAMED])) + (", ..." if len(paths) > MAX_NAMED else "")
    return f"left out, of a kind that is not read: {counts} ({names}); {conversion_hint(kinds)}"


def conversion_hint(suffixes: Iterable[str]) -> str:
    """What to do with images of these kinds."""
    if HEIC_SUFFIXES.issuperset(suffixes):
        return f"convert them to JPEG, or: {install_command('heic')}"
    return "convert them to JPEG or PNG"


@cache
def register_heif() -> None:
    """Let Pillow read HEIC, where pillow-heif is installed."""
    if find_spec("pillow_heif"):
        from pillow_heif import register_heif_opener

        register_heif_opener()


def decode_with_pillow(data: bytes, path: Path) -> NDArray[np.uint8]:
    """The upright RGB image (H, W, 3) of a file that OpenCV may not read. Raises DataError."""
    suffix = path.suffix.lower()
    if suffix not in readable_suffixes():
        raise DataError(f"{path} is of a kind that is not read: {suffix}; {conversion_hint([suffix])}")
    if not find_spec("PIL"):
        raise DataError(f"{path} is HEIC or AVIF whatever its name says; {conversion_hint(HEIC_SUFFIXES)}")
    from PIL import Image, ImageOps

    register_heif()
    try:
        with Image.open(BytesIO(data)) as file:
            upright: Any = ImageOps.exif_transpose(file)
            return np.asarray(upright.convert("RGB"), np.uint8)
    except Exception as error:  # decoders raise errors of many types
        raise DataError(f"{path} is not an image that Pillow can read: {error}") from error
