"""`pocketsight` with the real picamera2 on libcamera's virtual camera; what the two lack is put in its place.

The camera has no raw stream and gives NV12 only; libcamera 0.4 leaves the number of bytes used at 0; the machine has no
heap for DMA buffers. So this proves how frames are asked for, waited for, copied and given back, and not in which order
a Pi's image processor gives red and blue.
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
SENSOR = 3280, 2464  # of the model that virtual.yaml names


class MissingModuleFinder(MetaPathFinder, Loader):
    """Finds what picamera2 imports and does not need for this."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in MISSING_MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return MagicMock(name=spec.name, __spec__=spec, __path__=[])

    def exec_module(self, module: ModuleType) -> None:
        pass


class MappedBuffer:
    """A buffer by the length of its planes."""

    def __init__(self, allocator: Any, buffer: Any, write: bool) -> None:
        self.planes = buffer.planes

    def __enter__(self) -> mmap:
        return mmap(self.planes[0].fd, sum(plane.length for plane in self.planes), MAP_SHARED, PROT_READ)

    def __exit__(self, *error: object) -> None:
        pass


class NoDmaAllocator:
    """In the place of an allocator that wants /dev/dma_heap."""

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

    begin, configuration, array = Picamera2.__init__, Picamera2.create_video_configuration, CompletedRequest.make_array

    def begun(self: Any, *words: Any) -> None:
        begin(self, *words)
        self.allocator = LibcameraAllocator(self.camera)
        self.allocator.sync = MappedBuffer

    def configured(self: Any, main: dict[str, Any] | None = None, raw: Any = None, **more: Any) -> Any:
        if main is None:
            return configuration(self, **more)
        assert main["format"] == "BGR888" and raw["size"] == (SENSOR[0] // 2, SENSOR[1] // 2), (main, raw)
        return configuration(self, main=main | {"format": "NV12"}, raw=None, display=None, encode=None, **more)

    module.DmaAllocator = NoDmaAllocator
    Picamera2._get_raw_modes = lambda self: [{"format": "SRGGB10_CSI2P", "size": SENSOR}]
    Picamera2.__init__ = begun
    Picamera2.create_video_configuration = configured
    CompletedRequest.make_array = lambda self, name: cv2.cvtColor(array(self, name), cv2.COLOR_YUV2RGB_NV12)


if __name__ == "__main__":
    sys.meta_path.insert(0, MissingModuleFinder())
    patch_picamera2()

    from pocketsight.device.cli.main import main

    main(prog_name="pocketsight")
