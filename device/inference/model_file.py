"""Model files: a TFLite flatbuffer followed by a zip with its manifest and golden inputs.

TFLite ignores the zip, which is its own container for associated files. `unzip -p FILE manifest.json` reads it.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.checksum import verify_checksum
from pocketsight.device.inference.flatbuffer import IDENTIFIER, is_whole
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

ZIP_ENTRY = b"PK\x03\x04"  # the beginning of each file in a zip


class ForeignModelError(ModelError):
    """A whole .tflite that has no manifest of pocketsight: another program made it."""


class Contents(NamedTuple):
    """The parts of a .tflite."""

    flatbuffer: bytes
    entries: dict[str, bytes]
    """The files in the zip behind the flatbuffer, by name; {}: it has no zip."""


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
    data = _read(path)
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            manifest = archive.read(MANIFEST_NAME).decode()
            flatbuffer_size = min(entry.header_offset for entry in archive.infolist())
    except ZIP_ERRORS as error:
        split_contents(data, path)
        raise ForeignModelError(
            f"{path} has no manifest, another program made it: pocketsight info and bench take it as it is; to run "
            f"it, add a manifest with: pocketsight export adopt {path} --task classifier|detector"
        ) from error
    spec = ModelSpec.from_json(manifest, path)
    if spec.imx500:
        raise ModelError(
            f"{path} is for the AI Camera: give it as --accelerator imx500:{path} of run or bench, next to the .tflite"
        )
    flatbuffer = data[:flatbuffer_size]
    verify_checksum(flatbuffer, spec.sha256, path)
    return flatbuffer, spec


def read_contents(path: Path) -> Contents:
    """Read any .tflite. Raises ModelError when the file is missing, cut short or not a .tflite."""
    return split_contents(_read(path), path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


def split_contents(data: bytes, path: Path) -> Contents:
    """Split the data of any .tflite. Raises ModelError, naming `path`, when it is none or something was cut off."""
    if data[4:8] != IDENTIFIER:
        raise ModelError(f"{path} is not a model file; make one with: pocketsight export tflite")
    entries: dict[str, bytes] = {}
    size = len(data)
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            entries = {entry.filename: archive.read(entry) for entry in archive.infolist() if not entry.is_dir()}
            size = min(
                [entry.header_offset for entry in archive.infolist()], default=archive.start_dir
            )  # of an empty zip
    except ZIP_ERRORS as error:
        if MANIFEST_NAME.encode() in data and ZIP_ENTRY in data:
            raise ModelError(f"{path} is cut short: its manifest cannot be read; copy it again") from error
    if not is_whole(data[:size]):
        raise ModelError(f"{path} is cut short or damaged: parts of its network are missing; copy it again")
    return Contents(data[:size], entries)
