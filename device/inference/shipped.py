"""TODO docstring."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

MODELS_DIR = Path(str(files("pocketsight.models")))


EXAMPLE_IMAGE = MODELS_DIR / "example.jpg"
