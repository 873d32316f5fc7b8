"""The GPUs that the backend of Keras uses: names, memory and precision."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from pocketsight.device.errors import DataError
from pocketsight.train import nvidia
from pocketsight.train.keras_backend import keras

BFLOAT16_CAPABILITY, FLOAT16_CAPABILITY = (8, 0), (7, 0)  # CUDA: from these on there are matrix units for the type


class Gpu(NamedTuple):
    """A GPU of the backend."""

    name: str
    capability: tuple[int, int] | None = None  # of CUDA; None: another maker


def list_gpus() -> list[Gpu]:
    """The GPUs that the backend uses. With TensorFlow this does not reserve memory."""
    return _LIST_GPUS[keras.backend.backend()]()


def _tensorflow_gpus() -> list[Gpu]:
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [Gpu(each.get("device_name", "GPU"), each.get("compute_capability")) for each in details]


def _jax_gpus() -> list[Gpu]:
    import jax

    devices = [device for device in jax.local_devices() if device.platform != "cpu"]
    return [Gpu(device.device_kind, _parse_capability(getattr(device, "compute_capability", ""))) for device in devices]


def _parse_capability(text: Any) -> tuple[int, int] | None:
    major, _, minor = str(text).partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


def _torch_gpus() -> list[Gpu]:
    import torch

    numbers = range(torch.cuda.device_count())
    return [Gpu(torch.cuda.get_device_name(n), torch.cuda.get_device_capability(n)) for n in numbers]


_LIST_GPUS = {"tensorflow": _tensorflow_gpus, "jax": _jax_gpus, "torch": _torch_gpus}


def describe_device() -> str:
    """The device of the training, and if an NVIDIA card lies idle, why and the command that repairs it."""
    if gpus := list_gpus():
        return f"GPU {', '.join(gpu.name for gpu in gpus)}"
    where = f"CPU, {len(os.sched_getaffinity(0))} cores"
    cards = nvidia.find_cards()
    if not cards:
        return f"{where} (no GPU found)"
    reason, fix = nvidia.find_driver_problem(cards) or nvidia.find_backend_problem(keras.backend.backend(), cards)
    return f"{where}, although there is {cards}: {reason}; repair it with: {fix}"


def describe_backend() -> str:
    """A line for the log: device, precision if it is a mixed one, and versions."""
    policy = keras.config.dtype_policy().name
    precision = f" in {policy}" if policy != "float32" else ""
    return f"training on {describe_device()}{precision}; keras {keras.__version__} on {keras.backend.backend()}"


def limit_gpu_memory(megabytes: int | None) -> None:
    """Reserve at most this memory on each GPU; None: no limit. Call it before anything is computed.

    Raises DataError when the backend has no GPU.
    """
    if megabytes is None:
        return
    backend = keras.backend.backend()
    has_gpu = _limit_jax(megabytes) if backend == "jax" else bool(list_gpus())
    if not has_gpu:
        raise DataError("--gpu-memory-limit needs a GPU, and none is used; pocketsight doctor says why")
    if backend == "tensorflow":
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, False)  # TensorFlow takes one or the other
            tf.config.set_logical_device_configuration(gpu, [tf.config.LogicalDeviceConfiguration(megabytes)])
    elif backend == "torch":
        import torch

        for number in range(torch.cuda.device_count()):
            total = torch.cuda.get_device_properties(number).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, megabytes * 2**20 / total), number)


def _limit_jax(megabytes: int) -> bool:
    """Whether there is a GPU to limit. JAX must not look for devices before it meets the other processes.

    It takes a share of the memory, and knows the size of the memory only after that: nvidia-smi gives it.
    """
    total = nvidia.read_memory_megabytes()
    if total:
        os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{min(1.0, megabytes / total):.4f}"
    return total > 0


def choose_policy(precision: str) -> str:
    """The dtype policy of Keras for a value of --precision. Weights are float32 in every policy.

    `auto`: float32 on a CPU, where the short types take longer. On a GPU of NVIDIA bfloat16 if it has matrix units for
    that type, which has the range of float32, else float16.
    """
    if precision != "auto":
        return precision if precision == "float32" else f"mixed_{precision}"
    capabilities = [gpu.capability for gpu in list_gpus()]
    lowest = min((capability or (0, 0) for capability in capabilities), default=(0, 0))
    if lowest >= BFLOAT16_CAPABILITY:
        return "mixed_bfloat16"
    return "mixed_float16" if lowest >= FLOAT16_CAPABILITY else "float32"


@contextmanager
def use_precision(precision: str) -> Iterator[None]:
    """Networks that are built in this block compute with a value of --precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(choose_policy(precision))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
