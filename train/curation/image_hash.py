"""Properties and perceptual hashes of image files, and the search for near-duplicates."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.image_kinds import register_heif
from pocketsight.train.datasets.loader import follow_parent

# PIL format: file extensions. A renamed file gets the first one.
EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm"),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif", ".hif"),
}
HASH_SIDE = 16  # a perceptual hash has HASH_SIDE * HASH_SIDE bits
# Bits that may differ between two versions of one image. Measured on 240 images of four sets: half the size, JPEG of
# quality 40, lighter, darker, gray, or 2 % cropped differ by at most 56 bits. Of 139 million pairs of FER2013's faces,
# the inspected ones of up to 64 bits showed the same photograph; above that, some showed different people.
NEAR_DUPLICATE_BITS = 60
HashBits = NDArray[np.uint8]  # (N, HASH_SIDE * HASH_SIDE), 0 or 1

BLOCK_ROWS = 2048  # hashes compared at once: 16 MB of products
GRAY_THRESHOLD = 2.0  # mean difference between the color channels (0 to 255) below which an image counts as gray


class Fingerprint(NamedTuple):
    """Properties of one image file. When it cannot be read, `error` is the reason and the rest is empty."""

    path: Path
    file_size: int = 0  # bytes
    format: str = ""  # JPEG, PNG, ...
    size: tuple[int, int] = (0, 0)  # height, width in px, after EXIF rotation
    is_gray: bool = False
    sha256: str = ""  # of the file
    perceptual_hash: bytes = b""  # HASH_SIDE * HASH_SIDE bits
    error: str = ""


def read_fingerprint(path: Path) -> Fingerprint:
    """Decode a whole image with PIL, which is stricter than the reader for training: it refuses truncated files."""
    import imagehash
    from PIL import Image, ImageOps, UnidentifiedImageError

    register_heif()
    try:
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns about unusual metadata
            with Image.open(path) as file:
                image_format = str(file.format)
                if image_format not in EXTENSIONS:
                    message = f"holds {image_format}, which training does not read"
                    return Fingerprint(path, len(data), image_format, error=message)
                image = ImageOps.exif_transpose(file.convert("RGB") if file.mode != "RGB" else file)
                image.load()
    except UnidentifiedImageError:
        return Fingerprint(path, error="is not an image")
    except Exception as error:  # decoders raise errors of many types
        return Fingerprint(path, error=str(error).splitlines()[0] or type(error).__name__)
    small = image.resize((4 * HASH_SIDE, 4 * HASH_SIDE), Image.Resampling.BOX)  # the size phash reduces to
    pixels = np.asarray(small, np.int16)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]  # faster than max(-1)
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    is_gray = float(spread.mean()) < GRAY_THRESHOLD
    bits = imagehash.phash(small, HASH_SIDE).hash
    return Fingerprint(
        path,
        len(data),
        image_format,
        (image.height, image.width),
        is_gray,
        sha256(data).hexdigest(),
        np.packbits(bits).tobytes(),
    )


def read_fingerprints(paths: Sequence[Path], workers: int | None = None) -> Iterator[Fingerprint]:
    """The fingerprints of all images, in order. `workers` processes read them; default: one for each core.

    A file of several names, such as links, is read once.
    """
    numbers: dict[object, int] = {}
    number_of = [numbers.setdefault(_file_key(path), len(numbers)) for path in paths]
    first = dict(zip(reversed(number_of), reversed(paths), strict=True))  # number -> the first path of it
    results = _read_all([first[n] for n in range(len(first))], workers)
    done: list[Fingerprint] = []
    for path, number in zip(paths, number_of, strict=True):
        if number == len(done):
            done.append(next(results))
        yield done[number]._replace(path=path)


def _file_key(path: Path) -> object:
    """What is the same for all names of one file."""
    try:
        status = path.stat()
    except OSError:
        return path
    return (status.st_dev, status.st_ino) if status.st_ino else path


def _read_all(paths: Sequence[Path], workers: int | None) -> Iterator[Fingerprint]:
    count = min(workers or len(os.sched_getaffinity(0)), max(1, len(paths) // 32))
    if count == 1:
        yield from map(read_fingerprint, paths)
        return
    context = multiprocessing.get_context("spawn")  # threads of libraries do not survive a fork
    with ProcessPoolExecutor(count, context, follow_parent) as pool:
        yield from pool.map(read_fingerprint, paths, chunksize=16)


def near_duplicate_groups(fingerprints: Sequence[Fingerprint]) -> list[list[int]]:
    """Groups of two or more near-duplicates, as indices into `fingerprints`.

    The relation is transitive here: if A is near B and B near C, all three are one group.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    readable = [n for n, fingerprint in enumerate(fingerprints) if fingerprint.perceptual_hash]
    numbers: dict[bytes, int] = {}  # each hash once: a data set may hold thousands of copies
    copy_of = [numbers.setdefault(fingerprints[n].perceptual_hash, len(numbers)) for n in readable]
    bits = unpack_hashes(list(numbers))
    group = np.arange(len(numbers))
    for low, high, near in _near_blocks(bits, bits, NEAR_DUPLICATE_BITS, upper=True):
        rows, columns = np.nonzero(near)
        links = group[low + rows], group[high + columns]
        graph = coo_array((np.ones(len(rows), np.uint8), links), shape=(len(numbers), len(numbers)))
        group = connected_components(graph, directed=False)[1][group]
    members: dict[int, list[int]] = {}
    for n, label in zip(readable, group[copy_of].tolist(), strict=True):
        members.setdefault(label, []).append(n)
    return [indices for indices in members.values() if len(indices) > 1]


def first_match(bits: HashBits, candidates: HashBits, max_bits: int = NEAR_DUPLICATE_BITS) -> list[int]:
    """For each hash the index of the first candidate that differs in at most `max_bits` bits, or -1."""
    matches = np.full(len(bits), -1)
    for low, high, near in _near_blocks(bits, candidates, max_bits):
        rows = np.flatnonzero(near.any(1) & (matches[low : low + len(near)] < 0))
        matches[low + rows] = high + near[rows].argmax(1)
    return [int(n) for n in matches]


def first_earlier_match(bits: HashBits, max_bits: int = NEAR_DUPLICATE_BITS) -> list[int]:
    """For each hash the index of the first earlier hash that differs in at most `max_bits` bits, or -1."""
    matches = np.full(len(bits), -1)
    for low, high, near in _near_blocks(bits, bits, max_bits, upper=True):
        if low == high:
            near = np.triu(near, 1)
        columns = np.flatnonzero(near.any(0) & (matches[high : high + near.shape[1]] < 0))
        matches[high + columns] = low + near[:, columns].argmax(0)
    return [int(n) for n in matches]


def near_pairs(bits: HashBits, candidates: HashBits, max_bits: int = NEAR_DUPLICATE_BITS) -> Iterator[tuple[int, int]]:
    """The index of each hash with those of the candidates that differ in at most `max_bits` bits, in order of both."""
    for low, high, near in _near_blocks(bits, candidates, max_bits):
        rows, columns = np.nonzero(near)
        yield from zip((low + rows).tolist(), (high + columns).tolist(), strict=True)


def unpack_hashes(hashes: Sequence[bytes]) -> HashBits:
    """The bits of N hashes as an array (N, HASH_SIDE * HASH_SIDE) of 0 and 1."""
    return np.unpackbits(
        np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), HASH_SIDE * HASH_SIDE // 8), axis=1
    )


def _near_blocks(
    a: HashBits, b: HashBits, max_bits: int, upper: bool = False
) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """Compare all of `a` with all of `b` in blocks of BLOCK_ROWS: (first row, first column, is near) of each block.

    `upper` skips the blocks below the diagonal, which are redundant when `a` is `b`.
    """
    min_product = a.shape[1] - 2 * max_bits  # the product of two hashes is the equal bits minus the different ones
    for low in range(0, len(a), BLOCK_ROWS):
        for high in range(low if upper else 0, len(b), BLOCK_ROWS):
            yield (
                low,
                high,
                _to_signs(a[low : low + BLOCK_ROWS]) @ _to_signs(b[high : high + BLOCK_ROWS]).T >= min_product,
            )


def _to_signs(bits: HashBits) -> NDArray[np.float32]:
    """-1 and 1 for 0 and 1."""
    return bits.astype(np.float32) * 2 - 1
