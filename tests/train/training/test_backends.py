"""JAX and PyTorch train the drawn faces like TensorFlow, and TensorFlow reads their weights."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pocketsight.device.synthetic.faces import write_detection_dataset
from pocketsight.device.system.install_hint import install_command
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.datasets.detection_batches import validation_batch
from pocketsight.train.keras_backend import keras
from pocketsight.train.run_folder import load_run
from tests.support import backend_training
from tests.support.backend_training import LOSSES, OUTPUTS

pytestmark = [
    pytest.mark.filterwarnings("default"),  # TensorFlow's own
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="compares the others with TensorFlow"),
]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    write_detection_dataset(folder, 24, seed=0)
    return folder


@pytest.fixture(scope="module")
def expected(faces: Path) -> Path:
    """The run folder of TensorFlow."""
    backend_training.main(faces, faces / "run")
    return faces / "run"


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_losses_are_those_of_tensorflow_which_reads_the_weights(
    faces: Path, expected: Path, tmp_path: Path, backend: str
) -> None:
    if not find_spec(backend):
        pytest.skip(f"needs {backend}: {install_command(backend)}")
    environment = os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    words = [sys.executable, backend_training.__file__, str(faces), str(tmp_path / "run")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    losses = np.load(tmp_path / "run" / LOSSES)
    assert len(losses) == 20
    np.testing.assert_allclose(losses, np.load(expected / LOSSES), rtol=2e-3)
    net, spec = load_run(tmp_path / "run")
    images = validation_batch(read_detection_dataset(faces).splits["train"][:8], spec).images
    outputs, theirs = net.predict_on_batch(images.astype(np.float32)), np.load(tmp_path / "run" / OUTPUTS)
    for name in theirs:
        np.testing.assert_allclose(outputs[name], theirs[name], atol=1e-4, rtol=1e-4)
