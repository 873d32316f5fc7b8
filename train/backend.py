"""Keras, imported without the pages that TensorFlow writes while it starts. Import this before anything that uses it."""

from __future__ import annotations

import os

from edgekit.device.quiet import quiet

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with quiet():
    import keras

__all__ = ["keras"]
