"""Keras, imported without the pages that TensorFlow writes while it starts; everything here takes it from here."""

from __future__ import annotations

import os

from edgekit.device.quiet import quiet

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with quiet():
    import keras

__all__ = ["keras"]
