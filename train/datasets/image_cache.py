"""A cache of decoded images that all worker processes share."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.vision.image import Image
from pocketsight.train.datasets.shared_memory import SharedMemory

MEMORY_SHARE = 0.25  # of the free memory that the cache may take
ABSENT, IN_WRITING, PRESENT = 0, 1, 2  # an image in the index


class ImageCache:
    """Up to `capacity` bytes of images by their number, 0 to `count` - 1. When it is full, it keeps what it has.

    Whether an image is in the cache must not change a batch: put in only what reading it again would give.
    """

    def __init__(self, count: int, capacity: int) -> None:
        self.lock = multiprocessing.get_context("spawn").Lock()
        self.capacity = capacity
        self.pixel_memory, self.index_memory = SharedMemory(max(capacity, 1)), SharedMemory((count + 1) * 32)

    def _index(self) -> Any:
        """(count + 1, 4): state, first byte, height, width of each image; then the bytes in use."""
        return np.frombuffer(self.index_memory.buffer, np.int64).reshape(-1, 4)

    def get(self, number: int) -> Image | None:
        """The image (H, W, 3), not to be written to, or None."""
        state, first, height, width = self._index()[number].tolist()
        if state != PRESENT:
            return None
        image = np.frombuffer(self.pixel_memory.buffer, np.uint8, height * width * 3, first).reshape(height, width, 3)
        image.flags.writeable = False
        return image

    def put(self, number: int, image: Image) -> None:
        """Keep an image, if there is space. Another process may do the same at the same time."""
        index = self._index()
        with self.lock:
            first = int(index[-1, 0])
            if index[number, 0] != ABSENT or first + image.nbytes > self.capacity:
                return
            index[-1, 0] = first + image.nbytes
            index[number] = IN_WRITING, first, *image.shape[:2]
        np.frombuffer(self.pixel_memory.buffer, np.uint8, image.nbytes, first)[:] = image.reshape(-1)
        index[number, 0] = PRESENT


def make_image_cache(count: int) -> ImageCache:
    """A cache for `count` images that takes up to MEMORY_SHARE of the memory that is free now."""
    return ImageCache(count, int(MEMORY_SHARE * _free_memory()))


def _free_memory() -> int:
    """Bytes that this process can have: those of the machine, or of its container if it has fewer."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for line in _read_lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    group = Path("/sys/fs/cgroup")
    limit, used = (_read_lines(group / name) for name in ("memory.max", "memory.current"))
    if limit and used and limit[0].isdigit():
        free = min(free, max(0, int(limit[0]) - int(used[0])))
    return free


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
