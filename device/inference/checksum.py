"""The checksum of a model file: the SHA-256 of its flatbuffer, kept in the manifest."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from pocketsight.device.errors import ModelError


def compute_checksum(flatbuffer: bytes) -> str:
    """The SHA-256 of a flatbuffer, in hexadecimal digits."""
    return sha256(flatbuffer).hexdigest()


def verify_checksum(flatbuffer: bytes, expected: str, path: Path) -> None:
    """Raise ModelError unless the checksum of the flatbuffer is `expected`. `path` is for the message."""
    actual = compute_checksum(flatbuffer)
    if not expected:
        raise ModelError(f"{path} has no checksum in its manifest; add sha256: {actual}")
    if actual != expected:
        raise ModelError(f"{path} is damaged: its checksum differs from the one in its manifest; copy it again")
