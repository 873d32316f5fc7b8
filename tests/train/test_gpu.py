"""What training takes of a GPU: precision and memory, and its first line. Needs TensorFlow, but no GPU."""

import os

import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.system.install_hint import install_command
from pocketsight.train import gpu, nvidia
from pocketsight.train.gpu import Gpu
from pocketsight.train.keras_backend import keras

CARDS = nvidia.Cards(("NVIDIA GeForce RTX 3060",), "550.54.14")


def have(monkeypatch: pytest.MonkeyPatch, gpus: list[Gpu], cards: nvidia.Cards | None = CARDS) -> None:
    monkeypatch.setattr(gpu, "list_gpus", lambda: gpus)
    monkeypatch.setattr(nvidia, "find_cards", lambda: cards)
    monkeypatch.setattr(nvidia, "find_driver_problem", lambda cards: None)


@pytest.mark.parametrize(
    ("gpus", "policy"),
    [
        ([], "float32"),
        ([Gpu("Metal")], "float32"),
        ([Gpu("GTX 1080", (6, 1))], "float32"),
        ([Gpu("RTX 2080", (7, 5))], "mixed_float16"),
        ([Gpu("RTX 3060", (8, 6))], "mixed_bfloat16"),
        ([Gpu("RTX 3060", (8, 6)), Gpu("GTX 1080", (6, 1))], "float32"),
    ],
)
def test_auto_takes_the_type_that_every_gpu_has(monkeypatch: pytest.MonkeyPatch, gpus: list[Gpu], policy: str) -> None:
    have(monkeypatch, gpus)
    assert gpu.choose_policy("auto") == policy
    assert gpu.choose_policy("float16") == "mixed_float16"
    assert gpu.choose_policy("float32") == "float32"


def test_precision_ends_with_its_block_and_weights_stay_float32() -> None:
    with gpu.use_precision("bfloat16"):
        layer = keras.layers.Dense(2)
        assert "in mixed_bfloat16" in gpu.describe_backend()
    layer.build((None, 3))
    assert (layer.compute_dtype, layer.kernel.dtype) == ("bfloat16", "float32")
    assert keras.layers.Dense(2).compute_dtype == "float32"


def test_the_first_line_names_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, [Gpu("NVIDIA GeForce RTX 3060", (8, 6))])
    assert gpu.describe_device() == "GPU NVIDIA GeForce RTX 3060"


def test_the_first_line_says_why_a_card_lies_idle_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, [])
    monkeypatch.setattr(nvidia, "missing_packages", lambda package, extra: ["nvidia-cudnn-cu12"])
    line = gpu.describe_device()
    assert line.startswith(f"CPU, {len(os.sched_getaffinity(0))} cores, although there is {CARDS}: ")
    assert "nvidia-cudnn-cu12" in line and line.endswith(install_command("gpu"))
    have(monkeypatch, [], cards=None)
    assert gpu.describe_device().endswith("cores (no GPU found)")


def test_the_probe_of_tensorflow_says_what_tensorflow_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all packages in place, TensorFlow itself is asked; here it finds no driver."""
    if gpu.list_gpus():
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr(nvidia, "missing_packages", lambda package, extra: [])
    problem = nvidia.find_backend_problem("tensorflow", CARDS)
    assert "libcuda.so.1" in problem.reason or "driver" in problem.reason


def test_a_memory_limit_without_gpu_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    have(monkeypatch, [])
    gpu.limit_gpu_memory(None)
    with pytest.raises(DataError, match="--gpu-memory-limit needs a GPU"):
        gpu.limit_gpu_memory(2048)


def test_jax_gets_a_share_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "")  # restored afterwards
    monkeypatch.setattr(nvidia, "read_memory_megabytes", lambda: 12288)
    gpu._limit_jax(3072)
    assert os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.2500"
