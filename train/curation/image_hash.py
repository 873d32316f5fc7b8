"""What can be known of a picture file without looking at its labels, and which pictures look alike."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EXTENSIONS = {  # by the format that a file holds; the first is given to a file with a wrong one
    "JPEG": (".jpg", ".jpeg"),
    "MPO": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm",),
}
HASH_SIDE = 16  # the perceptual hash has SIDE * SIDE bits
NEAR_DUPLICATE_BITS = 60  # bits that may differ between two versions of one picture
# Measured on 240 pictures of four sets: half the size, JPEG of quality 40, lighter, darker, grey, or 2 % cut
# off differ by at most 56 bits. Of 139 million pairs of FER2013's faces, those of up to 64 bits that were looked at
# showed the same photograph; above that, different people begin.
HashBits = NDArray[np.uint8]  # (N, SIDE * SIDE), 0 or 1

BLOCK_ROWS = 2048  # hashes that are compared at once: 16 MB of products
GRAY_THRESHOLD = 2.0  # mean difference between the colours of a picture, below which it counts as grey


class Fingerprint(NamedTuple):
    """One picture file. When it cannot be read, `fault` says why and the rest is empty."""

    path: Path
    file_size: int = 0  # bytes
    format: str = ""  # JPEG, PNG, ...
    size: tuple[int, int] = (0, 0)  # height, width, upright
    is_gray: bool = False
    sha256: str = ""  # of the file
    perceptual_hash: bytes = b""  # perceptual, SIDE * SIDE bits
    error: str = ""


def read_fingerprint(path: Path) -> Fingerprint:
    """Read a picture whole, by a stricter reader than training's: PIL refuses what is cut short."""
    import imagehash
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata
            with Image.open(path) as file:
                form = str(file.format)
                if form not in EXTENSIONS:
                    return Fingerprint(path, len(data), form, error=f"holds {form}, which training does not read")
                image = ImageOps.exif_transpose(file.convert("RGB") if file.mode != "RGB" else file)
                image.load()
    except UnidentifiedImageError:
        return Fingerprint(path, error="is not a picture")
    except Exception as error:  # decoders raise whatever they like
        return Fingerprint(path, error=str(error).splitlines()[0] or type(error).__name__)
    small = image.resize((4 * HASH_SIDE, 4 * HASH_SIDE), Image.Resampling.BOX)  # what phash looks at
    colours = np.asarray(small, np.int16)
    grey = float((colours.max(-1) - colours.min(-1)).mean()) < GRAY_THRESHOLD
    bits = imagehash.phash(small, HASH_SIDE).hash
    return Fingerprint(
        path, len(data), form, (image.height, image.width), grey, sha256(data).hexdigest(), np.packbits(bits).tobytes()
    )


def read_fingerprints(paths: Sequence[Path], workers: int | None = None) -> Iterator[Fingerprint]:
    """Those of all pictures, in order, by a process on each core."""
    count = min(workers or len(os.sched_getaffinity(0)), max(1, len(paths) // 32))
    if count == 1:
        yield from map(read_fingerprint, paths)
        return
    context = multiprocessing.get_context("spawn")  # threads of libraries do not survive a fork
    with ProcessPoolExecutor(count, context, _init_worker) as pool:
        yield from pool.map(read_fingerprint, paths, chunksize=16)


def _init_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us


def near_duplicate_groups(fingerprints: Sequence[Fingerprint]) -> list[list[int]]:
    """Groups of two and more pictures that are, step by step, the same or nearly the same; indices into `prints`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    seen = [n for n, p in enumerate(fingerprints) if p.perceptual_hash]
    bits = unpack_hashes([fingerprints[n].perceptual_hash for n in seen])
    group = np.arange(len(seen))
    for low, high, near in _near_blocks(bits, bits, NEAR_DUPLICATE_BITS, upper=True):
        rows, columns = np.nonzero(near)
        links = group[low + rows], group[high + columns]
        graph = coo_array((np.ones(len(rows), np.uint8), links), shape=(len(seen), len(seen)))
        group = connected_components(graph, directed=False)[1][group]
    members: dict[int, list[int]] = {}
    for n, number in zip(seen, group.tolist(), strict=True):
        members.setdefault(number, []).append(n)
    return [numbers for numbers in members.values() if len(numbers) > 1]


def first_match(bits: HashBits, candidates: HashBits, max_bits: int = NEAR_DUPLICATE_BITS) -> list[int]:
    """For each hash the first of `others` that differs in at most so many bits, or -1."""
    found = np.full(len(bits), -1)
    for low, high, near in _near_blocks(bits, candidates, max_bits):
        rows = np.flatnonzero(near.any(1) & (found[low : low + len(near)] < 0))
        found[low + rows] = high + near[rows].argmax(1)
    return [int(n) for n in found]


def first_earlier_match(bits: HashBits, max_bits: int = NEAR_DUPLICATE_BITS) -> list[int]:
    """For each hash the first one before it that differs in at most so many bits, or -1."""
    found = np.full(len(bits), -1)
    for low, high, near in _near_blocks(bits, bits, max_bits, upper=True):
        if low == high:
            near = np.triu(near, 1)
        columns = np.flatnonzero(near.any(0) & (found[high : high + near.shape[1]] < 0))
        found[high + columns] = low + near[:, columns].argmax(0)
    return [int(n) for n in found]


def unpack_hashes(hashes: Sequence[bytes]) -> HashBits:
    """(N, SIDE * SIDE): the bits of perceptual hashes."""
    return np.unpackbits(
        np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), HASH_SIDE * HASH_SIDE // 8), axis=1
    )


def _near_blocks(
    a: HashBits, b: HashBits, max_bits: int, upper: bool = False
) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """Which of `a` are near to which of `b`, ROWS of each at a time, with the first index of both.

    With `upper` only where the second is not before the first: enough where `a` is `b`.
    """
    least = a.shape[1] - 2 * max_bits
    for low in range(0, len(a), BLOCK_ROWS):
        for high in range(low if upper else 0, len(b), BLOCK_ROWS):
            yield low, high, _to_signs(a[low : low + BLOCK_ROWS]) @ _to_signs(b[high : high + BLOCK_ROWS]).T >= least


def _to_signs(bits: HashBits) -> NDArray[np.float32]:
    """-1 and 1 for 0 and 1: a product of two rows is the number of bits that agree less those that differ."""
    return bits.astype(np.float32) * 2 - 1
