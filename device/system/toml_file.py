"""TOML files that people write."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pocketsight.device.errors import PocketsightError


def read_toml(path: Path, error_type: type[PocketsightError]) -> dict[str, Any]:
    """The content of a TOML file. Raises `error_type`, which names the file, where it cannot be read or is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise error_type(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise error_type(f"{path} is not TOML: {error}") from error
