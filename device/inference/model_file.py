"""Model files: a TFLite flatbuffer followed by a zip with its manifest and golden inputs.

TFLite ignores the zip, which is its own container for associated files. `unzip -p FILE manifest.json` reads it.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.checksum import verify_checksum
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec

# What the zipfile module raises for a damaged archive.
ZIP_ERRORS = (
    BadZipFile,
    EOFError,
    KeyError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OSError,
    zlib.error,
)


def pack_model_file(flatbuffer: bytes, spec: ModelSpec, extra_entries: Mapping[str, bytes] | None = None) -> bytes:
    """The bytes of a model file: the flatbuffer, then a zip with the manifest and `extra_entries` (name: data).

    The same input gives the same bytes.
    """
    file = io.BytesIO(flatbuffer)
    with ZipFile(file, "a") as archive:
        archive.writestr(ZipInfo(MANIFEST_NAME), spec.to_json())  # ZipInfo has a fixed date
        for name, data in (extra_entries or {}).items():
            archive.writestr(ZipInfo(name), data, ZIP_DEFLATED, 9)
    return file.getvalue()


def read_model_file(path: Path) -> tuple[bytes, ModelSpec]:
    """Read the flatbuffer and the manifest of a model file, and verify the checksum.

    Raises ModelError when the file is missing, damaged or not a model file of pocketsight.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    fix = "make one with: pocketsight export tflite"
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            manifest = archive.read(MANIFEST_NAME).decode()
            flatbuffer_size = min(entry.header_offset for entry in archive.infolist())
    except ZIP_ERRORS as error:
        if data[4:8] == b"TFL3":
            raise ModelError(
                f"{path} is cut short, or has no manifest because pocketsight did not make it; {fix}"
            ) from error
        raise ModelError(f"{path} is not a model file; {fix}") from error
    spec = ModelSpec.from_json(manifest, path)
    flatbuffer = data[:flatbuffer_size]
    verify_checksum(flatbuffer, spec.sha256, path)
    return flatbuffer, spec
