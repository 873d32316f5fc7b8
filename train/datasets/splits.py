"""The names of the splits, which are also the names of their folders."""

from __future__ import annotations

SPLITS = "train", "val", "test"
