"""Files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write a file beside, force it to the disk, then give it its name; folders are made. Raises DataError."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise DataError(f"{path} cannot be written: {error.strerror}") from error


def write_json(path: Path, data: Any) -> None:
    """Write JSON as a person could read it. Raises DataError."""
    atomic_write(path, json.dumps(data, indent=1) + "\n")
