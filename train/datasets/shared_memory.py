"""Memory that worker processes share."""

from __future__ import annotations

import mmap
import os
import tempfile
from multiprocessing import reduction
from typing import Any


class SharedMemory:
    """Zeroed memory (a buffer of `size` bytes) for this process and those that it spawns.

    Unlike `multiprocessing.shared_memory` it has no name: the kernel frees it when the last process ends, however that
    happens. It takes no space before it is written, and the size of /dev/shm (64 MB in a container) is no limit.
    """

    def __init__(self, size: int, descriptor: int | None = None) -> None:
        self.size = size
        if descriptor is None:
            descriptor = _open_anonymous_file()
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        self.buffer = mmap.mmap(descriptor, size)

    def __reduce__(self) -> Any:
        return _attach, (self.size, reduction.DupFd(self.descriptor))

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


def _open_anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pocketsight")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _attach(size: int, duplicate: Any) -> SharedMemory:
    return SharedMemory(size, duplicate.detach())
