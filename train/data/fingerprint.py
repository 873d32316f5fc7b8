"""What can be known of a picture file without looking at its labels, and which pictures look alike."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterable, Iterator, Sequence
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
    seen = [n for n, p in enumerate(prints) if p.hash]
    pairs = near_pairs([prints[n].hash for n in seen])
    groups = joined(len(prints), ((seen[a], seen[b]) for a, b in pairs))
    return [group for group in groups if len(group) > 1]


def joined(count: int, links: Iterable[Sequence[int]]) -> list[list[int]]:
    """The numbers below `count` in groups: those that a link names together, directly or through others, share one."""
    parent = list(range(count))

    def first(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    for numbers in links:
        low = min(map(first, numbers))
        for n in numbers:
            parent[first(n)] = low
    groups: dict[int, list[int]] = {}
    for n in range(count):
        groups.setdefault(first(n), []).append(n)
    return list(groups.values())


def near_pairs(hashes: Sequence[bytes], most: int = NEAR) -> Iterator[tuple[int, int]]:
    """Pairs of hashes that differ in at most so many bits. Compares all with all, a block of each at a time."""
    if not hashes:
        return
    bits = np.unpackbits(np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), -1), axis=1)
    least = bits.shape[1] - 2 * most
    for low in range(0, len(bits), ROWS):
        for high in range(low, len(bits), ROWS):
            product = _signs(bits[low : low + ROWS]) @ _signs(bits[high : high + ROWS]).T
            for a, b in np.argwhere(product >= least):
                if low + a < high + b:
                    yield low + int(a), high + int(b)


def _signs(bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """-1 and 1 for 0 and 1: a product of two rows is the number of bits that agree less those that differ."""
    return bits.astype(np.float32) * 2 - 1
