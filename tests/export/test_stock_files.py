"""The files for other programs: they load where pocketsight is not, and say what the run folder says."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from pocketsight.device.cli.main import main
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.device.system.install_hint import install_command
from pocketsight.export import stock_parity
from pocketsight.train.run_folder import as_model
from tests.support.run_folders import NETWORKS, write_run_folder

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

# Both kinds of outputs, all kinds of layers; test_stock_network.py has the others.
NOTEBOOK_NETWORKS = "three labels", "cnn256"

# What a notebook does. One process for both files, since importing TensorFlow takes long.
NOTEBOOK = """
import sys
sys.modules["pocketsight"] = None
import keras, numpy
for folder in sys.argv[1:]:
    model = keras.models.load_model(folder + "/model.keras")
    found = model.predict(numpy.load(folder + "/images.npy"), verbose=0)
    numpy.savez(folder + "/found.npz", **(found if isinstance(found, dict) else {"probabilities": found}))
"""


def export(*words: object) -> str:
    done = CliRunner().invoke(main, ["export", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def images_for(spec: ModelSpec) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (3, *spec.input_size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """Run folders and networks by architecture."""
    folder = tmp_path_factory.mktemp("runs")
    names = "three labels", "crop71k", "cnn256"
    return {name: (folder / name, write_run_folder(folder / name, NETWORKS[name])) for name in names}


def require_same(name: str, net: Any, found: dict[str, NDArray[np.float32]]) -> None:
    spec = NETWORKS[name]
    expected = [stock_parity.read_outputs(as_model(net, spec), image) for image in images_for(spec)]
    assert expected[0].keys() == found.keys()
    for key, values in found.items():
        assert values == pytest.approx(np.stack([each[key] for each in expected]), abs=1e-3)


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_keras_alone_loads_the_file_on_every_backend(backend: str, runs: dict[str, tuple[Path, Any]]) -> None:
    if not find_spec(backend):
        pytest.skip(f"needs {backend}")
    for name in NOTEBOOK_NETWORKS:
        run, _ = runs[name]
        if not (run / "model.keras").exists():
            said = export("keras", run, "--license", "CC0")
            assert "parity on 2 synthetic images" in said and "keras.models.load_model(" in said
        np.save(run / "images.npy", images_for(NETWORKS[name]))
    folders = [str(runs[name][0]) for name in NOTEBOOK_NETWORKS]
    environment = {"KERAS_BACKEND": backend, "PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-I", "-c", NOTEBOOK, *folders], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    for name in NOTEBOOK_NETWORKS:
        run, net = runs[name]
        require_same(name, net, dict(np.load(run / "found.npz")))
        (run / "found.npz").unlink()
        with ZipFile(run / "model.keras") as archive:
            facts = json.loads(archive.read(MANIFEST_NAME))
        assert facts["labels"] == list(NETWORKS[name].labels) and facts["license"] == "CC0"
        assert facts["parity"]["images"] == 2
        assert not list(run.glob(".*"))


@pytest.mark.parametrize("name", ["three labels", "crop71k"])
def test_onnx_runtime_runs_the_file(name: str, runs: dict[str, tuple[Path, Any]]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    run, net = runs[name]
    said = export("onnx", run)
    assert "parity on 2 synthetic images" in said and "onnxruntime.InferenceSession(" in said
    session = onnxruntime.InferenceSession(run / "model.onnx")
    spec = NETWORKS[name]
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.type, pixels.shape) == ("image", "tensor(float)", ["batch", *spec.input_size, 3])
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {"image": images_for(spec).astype(np.float32)})
    require_same(name, net, dict(zip(names, found, strict=True)))
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["labels"]) == list(spec.labels) and facts["task"] == spec.task
    assert float(facts["score_threshold"]) == spec.score_threshold
    assert not list(run.glob(".*"))


@pytest.mark.parametrize("command", ["keras", "onnx"])
def test_an_unfinished_run_folder_is_refused(command: str, tmp_path: Path) -> None:
    if command == "onnx":
        pytest.importorskip("tf2onnx")
    (tmp_path / MANIFEST_NAME).write_text(NETWORKS["cnn256"].to_json())
    done = CliRunner().invoke(main, ["export", command, str(tmp_path)])
    assert done.exit_code == 1 and "has an unfinished training; continue it with: " in done.output
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_NAME]


def test_a_missing_converter_is_one_line_with_the_fix(
    runs: dict[str, tuple[Path, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    run, _ = runs["cnn256"]
    done = CliRunner().invoke(main, ["export", "onnx", str(run), "--out", str(tmp_path / "a.onnx")])
    assert done.exit_code == 1 and not list(tmp_path.iterdir())
    assert done.output == f"Error: tf2onnx is not installed; get it with: {install_command('onnx')}\n"


def test_another_answer_is_refused_and_the_old_file_stays(
    runs: dict[str, tuple[Path, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, _ = runs["cnn256"]
    out = tmp_path / "a.keras"
    out.write_text("old")
    monkeypatch.setitem(stock_parity.MAX_DIFFERENCE, "probabilities", -1.0)
    done = CliRunner().invoke(main, ["export", "keras", str(run), "--out", str(out)])
    assert done.exit_code == 1 and "the exported probabilities differ" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["a.keras"] and out.read_text() == "old"
