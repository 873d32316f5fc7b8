"""Imports Keras without the messages that its backends print on import. All modules import `keras` from here."""

from __future__ import annotations

import os
from contextlib import suppress

from pocketsight.device.system.stderr import suppress_stderr

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow leaves these kernels off on CPUs without AVX-512, where they train our networks twice as fast too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX: take GPU memory as it is needed, not most of it
with suppress_stderr():
    import keras

    with suppress(ImportError):  # Keras imports it with the other backends too, where it is installed
        import tensorflow
    if keras.backend.backend() == "tensorflow":
        # Also so that CUDA prints its warnings now, while stderr is off; train/nvidia.py explains them.
        for gpu in tensorflow.config.list_physical_devices("GPU"):
            tensorflow.config.experimental.set_memory_growth(gpu, True)

__all__ = ["keras"]
