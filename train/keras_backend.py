"""Imports Keras without the messages that TensorFlow prints on import. All modules import `keras` from here."""

from __future__ import annotations

import os

from pocketsight.device.system.stderr import suppress_stderr

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow leaves these kernels off on CPUs without AVX-512, where they train our networks twice as fast too.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
with suppress_stderr():
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.list_physical_devices("GPU")  # so that CUDA prints its warnings now, while stderr is off

__all__ = ["keras"]


def describe_backend() -> str:
    """A line for the log: the GPU, if the backend of Keras finds one, else the CPU; and the versions."""
    backend = keras.backend.backend()
    gpus: list[str] = []
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = [d.name for d in tf.config.list_physical_devices("GPU")]
    elif backend == "torch":
        import torch

        gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    elif backend == "jax":
        import jax

        gpus = [str(d) for d in jax.devices() if d.platform != "cpu"]
    where = f"GPU {', '.join(gpus)}" if gpus else f"CPU, {len(os.sched_getaffinity(0))} cores (no GPU found)"
    return f"training on {where}; keras {keras.__version__} on {backend}"
