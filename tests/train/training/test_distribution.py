"""Several devices and processes train as one does. The trainings need JAX."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.train.datasets.loader import Batch
from pocketsight.train.keras_backend import keras
from pocketsight.train.training import distribution
from pocketsight.train.training.distribution import Cluster, joined_cluster
from tests.support import cluster_training
from tests.support.cameras import free_port
from tests.support.processes import running

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

SPEC = ModelSpec("detector", "small", (8, 8), ("face",), 0.5, training={"recipe": {"batch_size": 8}})
WAIT_S = 1200  # never that long, unless they hang
needs_jax = pytest.mark.skipif(not find_spec("jax"), reason="needs JAX: pip install jax")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("KERAS_DISTRIBUTION", "SLURM")):
            monkeypatch.delenv(name)


def train(folder: Path, devices: int, epoch: str = "", **variables: object) -> Any:
    """A training in a process of its own, with this number of virtual devices; it dies after `epoch`."""
    folder.mkdir(exist_ok=True)
    words = [sys.executable, cluster_training.__file__, str(folder), *epoch.split()]
    settings = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"} | {
        name: str(value) for name, value in variables.items()
    }
    settings["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    return running(words, env=os.environ | settings, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """What a process said that should end well."""
    said = process.communicate(timeout=WAIT_S)[1]
    assert process.returncode == 0, said
    return said


def results(folder: Path) -> tuple[Any, list[Any]]:
    """The losses by epoch, of training and validation, and the weights."""
    weights = np.load(folder / "weights.npz")
    return np.genfromtxt(folder / "history.csv", delimiter=",", skip_header=1)[:, 1:3], [weights[n] for n in weights]


def assert_same(folder: Path, other: Path) -> None:
    (losses, weights), (other_losses, other_weights) = results(folder), results(other)
    assert losses.shape == (3, 2)
    np.testing.assert_allclose(losses, other_losses, rtol=1e-4)
    for a, b in zip(weights, other_weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The run folder of one process with one device."""
    folder = tmp_path_factory.mktemp("whole")
    with train(folder, 1) as process:
        finish(process)
    yield folder


@needs_jax
def test_four_devices_learn_what_one_does(whole: Path, tmp_path: Path) -> None:
    with train(tmp_path, 4) as process:
        assert "4 devices in 1 process: each takes 2 images of a batch of 8" in finish(process)
    assert_same(tmp_path, whole)


@needs_jax
def test_two_processes_of_which_one_dies_resume_to_the_weights_of_one(whole: Path, tmp_path: Path) -> None:
    """The second time SLURM's variables join them. Only process 0 writes."""
    folders = tmp_path / "0", tmp_path / "1"
    shared: dict[str, Any] = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{free_port()}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": 2,
    }
    with (
        train(folders[0], 2, **shared, KERAS_DISTRIBUTION_PROCESS_ID=0) as first,
        train(folders[1], 2, "0", **shared, KERAS_DISTRIBUTION_PROCESS_ID=1) as second,
    ):
        assert second.wait(WAIT_S) == 9
        said = first.communicate(timeout=WAIT_S)[1]
        assert first.returncode == 1 and "if another process ended, start all with --resume" in said
        assert "Traceback" not in said
    assert not (folders[0] / "model.weights.h5").exists()
    slurm: dict[str, Any] = {
        "SLURM_JOB_ID": 1,
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_NTASKS": 2,
        "JAX_COORDINATOR_PORT": free_port(),
    }
    with (
        train(folders[0], 2, **slurm, SLURM_PROCID=0, SLURM_LOCALID=0) as first,
        train(folders[1], 2, **slurm, SLURM_PROCID=1, SLURM_LOCALID=1) as second,
    ):
        assert "epoch 3/3" in finish(first) and "epoch 1/3" not in finish(second)
    assert_same(folders[0], whole)
    assert not list(folders[1].iterdir())


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_make_each_row_of_a_batch_once(processes: int) -> None:
    clusters = [Cluster(rank, processes, 4) for rank in range(processes)]
    assert [row for cluster in clusters for row in cluster.rows(8)] == list(range(8))
    images = np.arange(18, dtype=np.uint8).reshape(18, 1, 1, 1)
    shards = [cluster.shard(Batch(images, images[:, 0, 0, 0].astype(np.float32)), 8)[1] for cluster in clusters]
    cuts = [
        [shard[start : start + 8 // processes] for start in range(0, len(shard), 8 // processes)] for shard in shards
    ]
    together = [np.concatenate(parts) for parts in zip(*cuts, strict=True)]
    assert [list(part) for part in together] == [list(range(8)), list(range(8, 16)), [16, 17, 0, 1]]


@pytest.mark.parametrize(
    "variables",
    [
        {"JOB_ADDRESSES": "127.0.0.1:2000"},
        {"JOB_ADDRESSES": "127.0.0.1", "NUM_PROCESSES": "2", "PROCESS_ID": "0"},
        {"JOB_ADDRESSES": "127.0.0.1:2000", "NUM_PROCESSES": "2", "PROCESS_ID": "2"},
    ],
)
def test_variables_that_are_missing_or_wrong_are_named(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"KERAS_DISTRIBUTION_{name}", value)
    with pytest.raises(DataError, match="KERAS_DISTRIBUTION_PROCESS_ID=0 to N-1"), joined_cluster(SPEC):
        pass


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX joins them")
def test_other_backends_refuse_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with joined_cluster(SPEC) as cluster:  # a shell in an allocation
        assert cluster == Cluster()
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[1-2]")
    with pytest.raises(DataError, match="KERAS_BACKEND=jax"), joined_cluster(SPEC):
        pass


@needs_jax
def test_a_batch_that_does_not_divide_is_refused_with_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: [f"cpu:{n}" for n in range(3)])
    with pytest.raises(DataError, match="32 images does not divide among 3 devices; give --batch-size 30"):
        distribution._distribute(32)
