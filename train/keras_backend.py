"""Keras, imported without the pages that TensorFlow writes while it starts; everything here takes it from here."""

from __future__ import annotations

import os

from pocketsight.device.system.stderr import suppress_stderr

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with suppress_stderr():
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.list_physical_devices("GPU")  # CUDA complains now, not amid our lines

__all__ = ["keras"]
