"""TODO docstring."""

from __future__ import annotations

SPLITS = "train", "val", "test"
