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

ENDINGS = {  # by the format that a file holds; the first is given to a file with a wrong one
    "JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "PNG": (".png",), "WEBP": (".webp",), "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"), "PPM": (".ppm",),
}  # fmt: skip
SIDE = 16  # the perceptual hash has SIDE * SIDE bits
NEAR = 60  # bits that may differ between two versions of one picture
# Measured on 240 pictures of four sets: half the size, JPEG of quality 40, lighter, darker, grey, or 2 % cut
# off differ by at most 56 bits. Of 139 million pairs of FER2013's faces, those of up to 64 bits that were looked at
# showed the same photograph; above that, different people begin.
Bits = NDArray[np.uint8]  # (N, SIDE * SIDE), 0 or 1

ROWS = 2048  # hashes that are compared at once: 16 MB of products
GREY = 2.0  # mean difference between the colours of a picture, below which it counts as grey


class Fingerprint(NamedTuple):
    """One picture file. When it cannot be read, `fault` says why and the rest is empty."""

    path: Path
    length: int = 0  # bytes
    form: str = ""  # JPEG, PNG, ...
    size: tuple[int, int] = (0, 0)  # height, width, upright
    grey: bool = False
    sha256: str = ""  # of the file
    hash: bytes = b""  # perceptual, SIDE * SIDE bits
    fault: str = ""


def fingerprint(path: Path) -> Fingerprint:
    """Read a picture whole, by a stricter reader than training's: PIL refuses what is cut short."""
    import imagehash
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata
            with Image.open(path) as file:
                form = str(file.format)
                if form not in ENDINGS:
                    return Fingerprint(path, len(data), form, fault=f"holds {form}, which training does not read")
                image = ImageOps.exif_transpose(file.convert("RGB") if file.mode != "RGB" else file)
                image.load()
    except UnidentifiedImageError:
        return Fingerprint(path, fault="is not a picture")
    except Exception as error:  # decoders raise whatever they like
        return Fingerprint(path, fault=str(error).splitlines()[0] or type(error).__name__)
    small = image.resize((4 * SIDE, 4 * SIDE), Image.Resampling.BOX)  # what phash looks at
    colours = np.asarray(small, np.int16)
    grey = float((colours.max(-1) - colours.min(-1)).mean()) < GREY
    bits = imagehash.phash(small, SIDE).hash
    return Fingerprint(
        path, len(data), form, (image.height, image.width), grey, sha256(data).hexdigest(), np.packbits(bits).tobytes()
    )


def fingerprints(paths: Sequence[Path], workers: int | None = None) -> Iterator[Fingerprint]:
    """Those of all pictures, in order, by a process on each core."""
    count = min(workers or len(os.sched_getaffinity(0)), max(1, len(paths) // 32))
    if count == 1:
        yield from map(fingerprint, paths)
        return
    context = multiprocessing.get_context("spawn")  # threads of libraries do not survive a fork
    with ProcessPoolExecutor(count, context, _start) as pool:
        yield from pool.map(fingerprint, paths, chunksize=16)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us


def alike(prints: Sequence[Fingerprint]) -> list[list[int]]:
    """Groups of two and more pictures that are, step by step, the same or nearly the same; indices into `prints`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    seen = [n for n, p in enumerate(prints) if p.hash]
    bits = unpacked([prints[n].hash for n in seen])
    group = np.arange(len(seen))
    for low, high, near in _blocks(bits, bits, NEAR, upper=True):
        rows, columns = np.nonzero(near)
        links = group[low + rows], group[high + columns]
        graph = coo_array((np.ones(len(rows), np.uint8), links), shape=(len(seen), len(seen)))
        group = connected_components(graph, directed=False)[1][group]
    members: dict[int, list[int]] = {}
    for n, number in zip(seen, group.tolist(), strict=True):
        members.setdefault(number, []).append(n)
    return [numbers for numbers in members.values() if len(numbers) > 1]


def first_like(bits: Bits, others: Bits, most: int = NEAR) -> list[int]:
    """For each hash the first of `others` that differs in at most so many bits, or -1."""
    found = np.full(len(bits), -1)
    for low, high, near in _blocks(bits, others, most):
        rows = np.flatnonzero(near.any(1) & (found[low : low + len(near)] < 0))
        found[low + rows] = high + near[rows].argmax(1)
    return [int(n) for n in found]


def first_before(bits: Bits, most: int = NEAR) -> list[int]:
    """For each hash the first one before it that differs in at most so many bits, or -1."""
    found = np.full(len(bits), -1)
    for low, high, near in _blocks(bits, bits, most, upper=True):
        if low == high:
            near = np.triu(near, 1)
        columns = np.flatnonzero(near.any(0) & (found[high : high + near.shape[1]] < 0))
        found[high + columns] = low + near[:, columns].argmax(0)
    return [int(n) for n in found]


def unpacked(hashes: Sequence[bytes]) -> Bits:
    """(N, SIDE * SIDE): the bits of perceptual hashes."""
    return np.unpackbits(np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), SIDE * SIDE // 8), axis=1)


def _blocks(a: Bits, b: Bits, most: int, upper: bool = False) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """Which of `a` are near to which of `b`, ROWS of each at a time, with the first index of both.

    With `upper` only where the second is not before the first: enough where `a` is `b`.
    """
    least = a.shape[1] - 2 * most
    for low in range(0, len(a), ROWS):
        for high in range(low if upper else 0, len(b), ROWS):
            yield low, high, _signs(a[low : low + ROWS]) @ _signs(b[high : high + ROWS]).T >= least


def _signs(bits: Bits) -> NDArray[np.float32]:
    """-1 and 1 for 0 and 1: a product of two rows is the number of bits that agree less those that differ."""
    return bits.astype(np.float32) * 2 - 1
