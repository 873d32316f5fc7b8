"""The examples, run as their docstrings say, with real parts."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pocketsight.device.camera.synthetic import SyntheticScene
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE
from pocketsight.device.sinks.video import open_video_file
from pocketsight.device.synthetic.faces import write_detection_dataset
from pocketsight.device.vision.image import read_image
from pocketsight.train.datasets.detection import read_detection_dataset
from tests.support import ROOT
from tests.support.brokers import broker, sending
from tests.support.entries import face, fault
from tests.support.processes import until

EXAMPLES = ROOT / "scripts" / "examples"
SPEC = ModelSpec("detector", "grid141k", (96, 128), ("face",), 0.5, strides=(8, 16, 32), nms_iou_threshold=0.4)


def run(name: str, *words: object) -> str:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_begins_with_its_command(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 45
    assert f"\n\npython scripts/examples/{path.name}" in text.split('"""')[1]


def test_every_example_is_tested() -> None:
    own = Path(__file__).read_text()
    assert all(f'("{path.stem}"' in own or f'"{path.stem}.py"' in own for path in EXAMPLES.glob("*.py"))


def test_detect_image(tmp_path: Path) -> None:
    annotated = tmp_path / "annotated.jpg"
    printed = run("detect_image", EXAMPLE_IMAGE, annotated)
    assert re.fullmatch(r"\d+,\d+ to \d+,\d+: happy 0\.\d\d\n", printed)
    before, after = read_image(EXAMPLE_IMAGE), read_image(annotated)
    assert before.shape == after.shape and (abs(before.astype(int) - after) > 100).any()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of two drawn people."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    scene = SyntheticScene((240, 320))
    with open_video_file(path, 15) as write:
        for number in range(30):
            write(scene.draw(number, 15), number / 15)
    return path


def test_camera_loop(clip: Path) -> None:
    printed = run("camera_loop", clip)
    assert re.search(r"^frame \d+: face \d+ is sad$", printed, re.MULTILINE)
    assert re.search(r"^frame \d+: face \d+ is happy$", printed, re.MULTILINE)


def test_custom_sink(clip: Path) -> None:
    assert run("custom_sink", EXAMPLE_IMAGE) == "{'happy': 1}\n"
    assert "'happy'" in run("custom_sink", clip)


def test_tracker_only() -> None:
    printed = run("tracker_only")
    assert printed.endswith("2 tracks\n") and "frame 0:" not in printed
    assert "track 1 at x=" in printed and "frame 10: track 2" not in printed and "frame 11: track 2" in printed


def test_draw_signs(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    run("draw_signs", tmp_path / "signs", 10)
    dataset = read_detection_dataset(tmp_path / "signs")
    assert dataset.labels == ("go", "stop", "yield")
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 8, "test": 2}


@pytest.mark.filterwarnings("default")  # TensorFlow's own
def test_export_and_run(tmp_path: Path) -> None:
    from pocketsight.train.run_folder import WEIGHTS_FILE, build_network

    folder = tmp_path / "run"
    folder.mkdir()
    spec = replace(SPEC, training={"recipe": {"seed": 0}})
    (folder / MANIFEST_NAME).write_text(spec.to_json())
    build_network(spec).save_weights(folder / WEIGHTS_FILE)
    write_detection_dataset(tmp_path / "data", 60, seed=1, size=(96, 128))
    printed = run("export_and_run", folder, tmp_path / "data", EXAMPLE_IMAGE)
    assert "model.tflite: a detector, int8, input (96, 128)" in printed
    assert re.search(r"^\d+ faces$", printed, re.MULTILINE)


@contextmanager
def started(name: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.debian("mosquitto")
def test_mqtt_listener(tmp_path: Path) -> None:
    with broker(tmp_path) as running, started("mqtt_listener", f"127.0.0.1:{running.port}", "home/door") as listener:
        until(lambda: running.log.read_text().count("New client connected") >= 1)
        with sending(running.port, tmp_path) as sent:
            sent.sink.write([face(1), fault(2)])
            assert listener.stdout
            lines = [listener.stdout.readline() for _ in range(2)]
    assert lines[0].endswith(" face 7 appeared: happy\n") and lines[1].endswith(" camera lost begins\n")
