"""TODO docstring."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec


def pack_model_file(flatbuffer: bytes, spec: ModelSpec, extra_entries: Mapping[str, bytes] | None = None) -> bytes:
    """One file: the flatbuffer, and behind it a zip with its manifest and `more` entries by name.

    The same input gives the same bytes.
    """
    file = io.BytesIO(flatbuffer)
    with ZipFile(file, "a") as archive:
        archive.writestr(ZipInfo(MANIFEST_NAME), spec.to_json())  # ZipInfo has a fixed date
        for name, data in (extra_entries or {}).items():
            archive.writestr(ZipInfo(name), data, ZIP_DEFLATED, 9)
    return file.getvalue()


def read_model_file(path: Path) -> tuple[bytes, ModelSpec]:
    """The flatbuffer and the spec of a model file. Raises ModelError when one is missing or was changed."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    cure = "make one with: pocketsight export tflite"
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            text = archive.read(MANIFEST_NAME).decode()
            start = min(entry.header_offset for entry in archive.infolist())
    except (
        BadZipFile,
        EOFError,
        KeyError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        OSError,
        zlib.error,
    ) as error:
        if data[4:8] == b"TFL3":
            raise ModelError(
                f"{path} is cut short, or has no manifest because pocketsight did not make it; {cure}"
            ) from error
        raise ModelError(f"{path} is not a model file; {cure}") from error
    spec = ModelSpec.from_json(text, path)
    flatbuffer = data[:start]
    if sha256(flatbuffer).hexdigest() != spec.sha256:
        raise ModelError(f"{path} was changed or damaged: its sum is not the one in its manifest; copy it again")
    return flatbuffer, spec
