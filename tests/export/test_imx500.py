"""Export for the AI Camera: what is carried to Keras 2, what is refused, and the whole command with stand-in tools.

`POCKETSIGHT_IMX500=yes` also runs Sony's tools, and installs them if they are missing.
"""

import json
import sys
import types
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.device.errors import DataError, ModelError, ParityError
from pocketsight.device.inference import golden
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.imx500_file import read_imx500_file
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.sensor import detect_in_sensor
from pocketsight.device.inference.shipped import DETECTOR
from pocketsight.export.imx500 import converter, tools_environment
from pocketsight.export.imx500.command import load_detector
from pocketsight.export.imx500.network_description import describe_network
from pocketsight.export.imx500.recorded import RecordedModel
from pocketsight.train.keras_backend import keras
from pocketsight.train.networks.layers import SpaceToWidth, separable_conv
from pocketsight.train.run_folder import as_model, build_network
from tests.device.camera.test_imx500 import farthest, frames
from tests.support import imx500_tools
from tests.support.ai_camera import moving_scenes
from tests.support.images import labelme, picture
from tests.support.run_folders import NETWORKS, trained_network, write_run_folder

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own

SMALL = NETWORKS["grid141k"]
KINDS = ModelSpec("detector", "grid141k", (96, 128), ("car", "bus", "sign"), 0.5, strides=(8, 16, 32))


@pytest.fixture(scope="module")
def script() -> Any:
    """The script of the tools, in TensorFlow of this environment: its layers take the same arguments."""
    absent = {name: types.ModuleType(name) for name in ("edgemdt_tpc", "model_compression_toolkit")}
    location = spec_from_file_location("tools_script", converter.SCRIPT)
    assert location and location.loader
    module = module_from_spec(location)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        for name, stub in absent.items():
            patch.setitem(sys.modules, name, stub)
        location.loader.exec_module(module)
    return module


def with_more_layers() -> Any:
    """A network of stock layers with a separable convolution before its head."""
    pixels = keras.Input((32, 32, 3))
    x = separable_conv(keras.layers.Rescaling(1 / 255)(pixels), 8)
    x = keras.layers.Concatenate()([keras.layers.MaxPooling2D()(x), keras.layers.AveragePooling2D(2)(x)])
    return keras.Model(pixels, {"score_2": keras.layers.Conv2D(1, 1, activation="sigmoid", name="head")(x)})


@pytest.mark.parametrize(
    "make",
    [lambda: trained_network(KINDS), with_more_layers],
    ids=["kinds", "own"],
)
def test_a_described_network_computes_the_same(make: Callable[[], Any], script: Any) -> None:
    net = make()
    network, weights = describe_network(net)
    built = script.build(json.loads(json.dumps(network)), weights)
    images = np.random.default_rng(0).integers(0, 256, (2, *network["input"])).astype(np.uint8)
    found = script.run(built, list(network["outputs"]), images)
    for name, values in net.predict_on_batch(images.astype(np.float32)).items():
        assert np.abs(found[name] - values).max() < 1e-4, name


def test_networks_that_cannot_be_carried_over_are_refused() -> None:
    pixels = keras.Input((8, 8, 3))
    layer = keras.layers.Conv2D(3, 1)
    for output, problem in (
        (layer(layer(pixels)), "more than once"),
        (keras.layers.Conv2D(2, 3, padding="same")(SpaceToWidth(4)(pixels)), "no convolution of one column"),
    ):
        with pytest.raises(ModelError, match=problem):
            describe_network(keras.Model(pixels, {"score_8": output}))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("classifier", "one network on its whole picture"),
        ("detector.tflite", "not a run folder; give one, or one of detector"),
    ],
)
def test_other_models_are_refused(source: str, problem: str, tmp_path: Path) -> None:
    path = Path(source)
    if source == "classifier":
        write_run_folder(path := tmp_path / "run", NETWORKS["crop71k"])
    with pytest.raises((ModelError, DataError), match=problem):
        load_detector(path)


# What the tools need


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH, with a Java; the Python of the tests is of another version than the tools need."""
    folder = tmp_path / "bin"
    program(folder, "java", "exit 0")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tools_environment, "PYTHON_VERSION", "3.9")
    return folder


def test_missing_java_and_python_are_named(bin_folder: Path) -> None:
    with pytest.raises(DataError, match=r"need Python 3.11 with venv: sudo apt install"):
        tools_environment.prepare_environment()
    (bin_folder / "java").unlink()
    with pytest.raises(DataError, match="needs Java: sudo apt install default-jre-headless"):
        tools_environment.prepare_environment()
    assert not tools_environment.is_ready()


def test_an_installation_that_fails_leaves_nothing(bin_folder: Path) -> None:
    """A Python whose pip has no network, and then one whose pip works."""
    pip = 'printf "WARNING: Retrying\\nERROR: No matching distribution found for absl-py\\n" >&2; exit 1'
    write = '/bin/mkdir -p "$3/bin"; /bin/cat > "$3/bin/python"; /bin/chmod +x "$3/bin/python"'
    make = f'[ "$2" = venv ] || exit 0\n({write}) <<"EOF"\n#!/bin/sh\n{pip}\nEOF'
    program(bin_folder, "python3.9", make)
    with pytest.raises(
        DataError, match=r"could not be installed in .*\(ERROR: No matching.*\); the first export needs"
    ):
        tools_environment.prepare_environment()
    assert not tools_environment.environment_folder().exists()
    program(bin_folder, "python3.9", make.replace("exit 1", "exit 0"))
    assert tools_environment.prepare_environment().exists() and tools_environment.is_ready()
    (bin_folder / "python3.9").unlink()
    assert tools_environment.prepare_environment().exists()  # it is not made again


def test_the_versions_are_all_exact() -> None:
    lines = [line for line in tools_environment.REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in lines) and len(tools_environment.tool_versions()) == 4


# The command, with tools that quantize nothing


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command on a run folder and four labeled pictures."""
    write_run_folder(tmp_path / "run", SMALL)
    for number in range(4):
        labelme(tmp_path / "data", f"{number}", [[20, 20], [60, 60]], with_picture=False)
        picture(tmp_path / "data" / "images" / f"{number}.png", seed=number)
    monkeypatch.setattr(tools_environment, "prepare_environment", lambda: Path(sys.executable))
    monkeypatch.setenv("TOOLS_SCRIPT", str(converter.SCRIPT))
    monkeypatch.setattr(converter, "SCRIPT", Path(imx500_tools.__file__))
    words = ["export", "imx500", str(tmp_path / "run"), "--calibration-data", str(tmp_path / "data")]
    return lambda *more: CliRunner().invoke(main, [*words, *more])


def test_the_command_writes_one_file_with_all_that_the_board_needs(export: Callable[..., Any], tmp_path: Path) -> None:
    done = export("--force", "--test-data", str(tmp_path / "data"))
    assert done.exit_code == 0, done.output
    assert "ap50 on 4 images: trained 0." in done.output
    path = tmp_path / "run" / "detector.imx500.zip"
    packed, spec = read_imx500_file(path)
    assert packed[:2] == b"PK" and spec.imx500["memory"] == "995KB of 8.00MB"
    assert spec.imx500["operators"] == {"Convolution": 2, "Sigmoid": 1}
    assert spec.imx500["outputs"]["box_16"] == {"shape": [6, 8, 4], "type": "uint8", "scale": 1 / 256, "shift": 0}
    assert spec.precision == "int8" and spec.calibration["images"] > 0 and spec.parity["output_difference"]
    (first, _) = golden.read(path)
    trained = as_model(load_detector(tmp_path / "run")[0], SMALL)
    image = np.frombuffer(first.image, np.uint8).reshape(96, 128, 3)
    expected = trained.infer(image)["box_8"].values
    assert np.abs(np.frombuffer(first.outputs["box_8"], np.float32).reshape(expected.shape) - expected).max() < 1e-4
    assert "--accelerator" in done.output


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"TOO_LARGE": "yes"}, "does not fit the IMX500"), ({"PIXEL_SCALE": "0.5"}, "pixels as they are")],
)
def test_packed_networks_that_cannot_work_are_refused(
    changes: dict[str, str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "job.json").write_text(json.dumps({"network": {"input": [96, 128, 3]}}))
    output = types.SimpleNamespace(shape=(1, 12, 16, 4))
    imx500_tools.pack(types.SimpleNamespace(outputs=[output]), str(tmp_path / "net.keras"))
    report = json.loads((tmp_path / "packed" / "net_MemoryReport.json").read_text())
    with pytest.raises(ParityError, match=problem):
        converter.read_facts((tmp_path / "packed" / "packerOut.zip").read_bytes(), ["box_8"], report)


def test_tools_that_fail_are_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("print('step: quantizing'); raise ValueError('operator Foo is unknown')")
    monkeypatch.setattr(converter, "SCRIPT", tmp_path / "broken.py")
    steps: list[str] = []
    image = np.zeros((96, 128, 3), np.uint8)
    with pytest.raises(
        ModelError, match="Sony's tools failed: ValueError: operator Foo is unknown; nothing was written"
    ):
        converter.convert(build_network(SMALL), "x", Path(sys.executable), [image], [image], steps.append)
    assert steps == ["quantizing"]


def test_a_network_that_changed_on_its_way_is_refused() -> None:
    net, image = build_network(SMALL), np.zeros((96, 128, 3), np.uint8)
    outputs = {name: np.asarray(values) for name, values in net.predict_on_batch(image[np.newaxis]).items()}
    converter.require_carried(net, [image], outputs)
    with pytest.raises(ParityError, match=r"box_8 changed by 0.01 on its way"):
        converter.require_carried(net, [image], outputs | {"box_8": outputs["box_8"] + 0.01})


# The real tools


@pytest.mark.imx500
def test_the_tools_pack_a_shipped_detector_and_its_boxes_are_those_of_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quantized network gives the metadata of the stand-in for the camera, on its own pictures."""
    import cv2

    from pocketsight.export.imx500.tools_environment import prepare_environment

    net, _ = load_detector(Path("detector"))
    scenes = moving_scenes()
    inputs = [
        np.asarray(cv2.resize(scene[:, :1013], (384, 288), interpolation=cv2.INTER_AREA), np.uint8) for scene in scenes
    ]
    ends = [np.full((288, 384, 3), gray, np.uint8) for gray in (0, 255)]
    converted = converter.convert(net, "detector", prepare_environment(), [*inputs, *ends], inputs, print)
    model = RecordedModel(inputs, converted.outputs)
    assert converted.facts["operators"]["Convolution"] > 10 and converted.facts["memory"].endswith("8.00MB")
    seen, faults, _ = frames(
        tmp_path,
        monkeypatch,
        count=8,
        scenes=scenes,
        network=lambda image: [model(image)[name].values for name in sorted(converted.outputs)],
        facts=converted.facts,
    )
    cpu = load_on_cpu(DETECTOR, threads=1)
    assert not faults.faults
    for frame in seen:
        assert frame.sensor
        assert farthest(detect_in_sensor(frame.sensor, frame.size), detect(frame.image, cpu)) < 2


@pytest.mark.imx500
def test_the_tools_pack_a_detector_of_several_labels() -> None:
    from pocketsight.export.imx500.tools_environment import prepare_environment

    net = trained_network(KINDS)
    images = list(np.random.default_rng(0).integers(0, 256, (8, *KINDS.input_size, 3)).astype(np.uint8))
    converted = converter.convert(net, "kinds", prepare_environment(), images, images, print)
    for name, values in net.predict_on_batch(np.stack(images).astype(np.float32)).items():
        facts = converted.facts["outputs"][name]
        assert facts["shape"] == list(values.shape[1:])
        assert np.abs(converted.outputs[name] - values).mean() < 5 * facts["scale"]
