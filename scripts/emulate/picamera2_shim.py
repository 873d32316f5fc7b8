"""`pocketsight` with the real picamera2 on libcamera's virtual camera; this shim replaces what the two lack.

The camera has no raw stream and only gives NV12. libcamera 0.4 leaves the number of used bytes at 0. The machine has no
heap for DMA buffers. So this tests how frames are requested, awaited, copied and released. It does not test in which
order a Pi's image processor returns red and blue.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from mmap import MAP_SHARED, PROT_READ, mmap
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

MISSING_MODULES = "PIL", "av", "jsonschema", "libarchive", "pidng", "piexif", "prctl", "pykms", "simplejpeg", "tqdm"
SENSOR = 3280, 2464  # of the sensor model in virtual.yaml


class MissingModuleFinder(MetaPathFinder, Loader):
    """Finds the modules that picamera2 imports without using them here."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in MISSING_MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return MagicMock(name=spec.name, __spec__=spec, __path__=[])

    def exec_module(self, module: ModuleType) -> None:
        pass


class MappedBuffer:
    """A buffer with the length of its planes."""

    def __init__(self, allocator: Any, buffer: Any, write: bool) -> None:
        self.planes = buffer.planes

    def __enter__(self) -> mmap:
        return mmap(self.planes[0].fd, sum(plane.length for plane in self.planes), MAP_SHARED, PROT_READ)

    def __exit__(self, *error: object) -> None:
        pass


class NoDmaAllocator:
    """Replaces an allocator that needs /dev/dma_heap."""

    def buffers(self, stream: Any) -> list[Any]:
        return []

    def cleanup(self) -> None:
        pass


def patch_picamera2() -> None:
    """Make picamera2 work on the virtual camera."""
    import cv2
    import picamera2.picamera2 as module
    from picamera2 import Picamera2
    from picamera2.allocators import LibcameraAllocator
    from picamera2.request import CompletedRequest

    original_init, original_configuration, original_array = (
        Picamera2.__init__,
        Picamera2.create_video_configuration,
        CompletedRequest.make_array,
    )

    def init(self: Any, *words: Any) -> None:
        original_init(self, *words)
        self.allocator = LibcameraAllocator(self.camera)
        self.allocator.sync = MappedBuffer

    def create_configuration(self: Any, main: dict[str, Any] | None = None, raw: Any = None, **more: Any) -> Any:
        if main is None:
            return original_configuration(self, **more)
        assert main["format"] == "BGR888" and raw["size"] == (SENSOR[0] // 2, SENSOR[1] // 2), (main, raw)
        return original_configuration(self, main=main | {"format": "NV12"}, raw=None, display=None, encode=None, **more)

    module.DmaAllocator = NoDmaAllocator
    Picamera2._get_raw_modes = lambda self: [{"format": "SRGGB10_CSI2P", "size": SENSOR}]
    Picamera2.__init__ = init
    Picamera2.create_video_configuration = create_configuration
    CompletedRequest.make_array = lambda self, name: cv2.cvtColor(original_array(self, name), cv2.COLOR_YUV2RGB_NV12)


if __name__ == "__main__":
    sys.meta_path.insert(0, MissingModuleFinder())
    patch_picamera2()

    from pocketsight.device.cli.main import main

    main(prog_name="pocketsight")
